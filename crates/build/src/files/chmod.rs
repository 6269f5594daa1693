//! `--chmod`: octal, or chmod(1)'s symbols (`u=rwX,go+r`).

use super::Error;

/// How the mode of a copied file comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chmod {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Bits of the classes named: 0o4700, 0o2070, 0o1007.
    who: u32,
    operator: char,
    permissions: String,
}

impl Chmod {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |cause| Error::Chmod {
            text: text.to_owned(),
            cause,
        };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Self::Octal(mode)),
                _ => Err(bad("it should be octal string and between 0 and 07777")),
            };
        }
        let clauses = text
            .split(',')
            .map(|clause| parse_clause(clause).map_err(bad));
        clauses
            .collect::<Result<Vec<_>, _>>()
            .map(|clauses| Self::Symbolic(clauses.concat()))
    }

    /// The new mode of a file that had `mode`.
    pub fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode & 0o7777, |mode, clause| clause.apply(mode, directory)),
        }
    }
}

fn parse_clause(text: &str) -> Result<Vec<Clause>, &'static str> {
    let classes = text.len() - text.trim_start_matches(['u', 'g', 'o', 'a']).len();
    let (classes, mut rest) = text.split_at(classes);
    let who = classes.chars().fold(0, |bits, class| {
        bits | match class {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            _ => 0o7777,
        }
    });
    let who = if classes.is_empty() { 0o7777 } else { who };
    let mut clauses = Vec::new();
    while let Some(operator) = rest.chars().next() {
        if !['+', '-', '='].contains(&operator) {
            return Err("use an octal number or symbols as in u=rwX,go=rX");
        }
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (permissions, tail) = rest.split_at(end);
        if !permissions.chars().all(|c| "rwxXstugo".contains(c)) {
            return Err("a permission is one of r w x X s t u g o");
        }
        clauses.push(Clause {
            who,
            operator,
            permissions: permissions.to_owned(),
        });
        rest = tail;
    }
    if clauses.is_empty() {
        return Err("use an octal number or symbols as in u=rwX,go=rX");
    }
    Ok(clauses)
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let spread = |three: u32| three << 6 | three << 3 | three;
        let wanted = self.permissions.chars().fold(0, |bits, permission| {
            bits | match permission {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if directory || mode & 0o111 != 0 => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                'u' => spread(mode >> 6 & 7),
                'g' => spread(mode >> 3 & 7),
                'o' => spread(mode & 7),
                _ => 0,
            }
        });
        // The sticky bit belongs to nobody in particular.
        let bits = wanted & (self.who | 0o1000);
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => mode & !(self.who & 0o777) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_symbols() {
        let mode = |text: &str, old, dir| Chmod::parse(text).unwrap().apply(old, dir);
        assert_eq!(mode("755", 0o600, false), 0o755);
        assert_eq!(mode("04755", 0o600, false), 0o4755);
        assert_eq!(mode("u+x", 0o644, false), 0o744);
        assert_eq!(mode("go-rwx", 0o755, false), 0o700);
        assert_eq!(mode("a=rX", 0o640, false), 0o444);
        assert_eq!(mode("a=rX", 0o640, true), 0o555);
        assert_eq!(mode("u=rwx,g=u,o=", 0o004, false), 0o770);
        assert_eq!(mode("+x", 0o644, false), 0o755);
        for bad in ["", "9", "77777", "u", "u~x", "u+q", "-1x"] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
    }
}
