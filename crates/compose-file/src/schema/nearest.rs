//! The known word a misspelt one was probably meant to be.

/// The candidate with the smallest edit distance, when it is small for the word's length.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word: Vec<char> = fold(word);
    // A long key is no misspelling, and the table would be large.
    if word.len() > 60 {
        return None;
    }
    let scored = candidates
        .into_iter()
        .map(|candidate| (distance(&word, &fold(candidate)), candidate));
    let (cost, best) = scored.min_by_key(|(cost, _)| *cost)?;
    let longest = word.len().max(best.chars().count());
    (cost <= (longest / 3).clamp(1, 3) && cost < longest).then_some(best)
}

/// Case and the choice between `-`, `_` and nothing do not count.
fn fold(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Edits (insert, delete, replace, swap of neighbours) from one word to the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut cost = (last[j] + usize::from(a != b))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = [
            "image",
            "ports",
            "environment",
            "volumes",
            "command",
            "depends_on",
            "env_file",
        ];
        for (word, meant) in [
            ("imag", Some("image")),
            ("iamge", Some("image")),
            ("port", Some("ports")),
            ("enviroment", Some("environment")),
            ("environments", Some("environment")),
            ("depends-on", Some("depends_on")),
            ("dependsOn", Some("depends_on")),
            ("comand", Some("command")),
            ("volume", Some("volumes")),
            ("envfile", Some("env_file")),
            ("banana", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
    }
}
