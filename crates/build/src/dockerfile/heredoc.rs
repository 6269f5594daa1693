//! The heredoc openings (`<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF`) of a logical line.
//!
//! Only RUN, COPY and ADD, and ONBUILD of these, may have them, and not in JSON form.
//! Source: BuildKit `parser.go` (`heredocsFromLine`, `ParseHeredoc`).

use super::words;

/// One heredoc and its body.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Heredoc {
    /// The word that ends it; in COPY also the file's name.
    pub name: String,
    /// `<<-`: leading tabs are dropped.
    pub strip_tabs: bool,
    /// The word was not quoted: variables in the body are expanded (by COPY; in RUN the shell does).
    pub expand: bool,
    /// The body, tabs dropped where asked.
    pub content: String,
    /// The body as written, for handing on to a shell.
    pub raw: String,
}

/// The heredocs a line opens, bodies still empty.
pub(super) fn openings(line: &str, escape: char) -> Vec<Heredoc> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let (mut instruction, mut rest) = words::first(line);
    if instruction.eq_ignore_ascii_case("onbuild") {
        (instruction, rest) = words::first(rest);
    }
    if !["run", "copy", "add"].contains(&instruction.to_ascii_lowercase().as_str()) {
        return Vec::new();
    }
    let arguments = words::after_flags(rest, escape);
    if arguments.starts_with('[')
        && serde_json::from_str::<Vec<serde_json::Value>>(arguments).is_ok()
    {
        return Vec::new();
    }
    words::raw(arguments, escape)
        .iter()
        .filter_map(|word| opening(word))
        .collect()
}

/// Reads one raw word as a heredoc opening.
pub(crate) fn opening(word: &str) -> Option<Heredoc> {
    let rest = word
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let name: String = rest
        .chars()
        .filter(|c| !['"', '\'', '\\'].contains(c))
        .collect();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    Some(Heredoc {
        expand: name == rest,
        name,
        strip_tabs,
        ..Heredoc::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_found_where_they_may_stand() {
        let names = |line: &str| {
            openings(line, '\\')
                .into_iter()
                .map(|h| h.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("RUN <<EOF"), ["EOF"]);
        assert_eq!(names("ONBUILD RUN cat <<-'a' 3<<b"), ["a", "b"]);
        assert_eq!(names("COPY --chown=1 <<\"x y\" /d"), Vec::<String>::new());
        assert_eq!(names("RUN cat <<< word"), Vec::<String>::new());
        assert_eq!(names("ENV a=<<EOF"), Vec::<String>::new());
        assert_eq!(names("RUN [\"cat\", \"<<EOF\"]"), Vec::<String>::new());
        assert_eq!(names("RUN echo \"a <<EOF\""), Vec::<String>::new());
        assert_eq!(names("RUN echo $((1<<2))"), Vec::<String>::new());
    }
}
