//! Finding one object among many by full name, full id, or an id prefix that fits only one.

/// What a look-up came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<T> {
    One(T),
    None,
    /// The prefix fits several.
    Ambiguous,
}

/// Looks `wanted` up among `(id, name, object)`: a full id first, then a name, then a prefix of an id.
pub fn find<'a, T>(
    wanted: &str,
    objects: impl IntoIterator<Item = (&'a str, &'a str, T)>,
) -> Found<T> {
    let mut by_name = None;
    let mut by_prefix = Vec::new();
    for (id, name, object) in objects {
        if id == wanted {
            return Found::One(object);
        }
        if name == wanted {
            by_name = Some(object);
        } else if !wanted.is_empty() && id.starts_with(wanted) {
            by_prefix.push(object);
        }
    }
    if let Some(object) = by_name {
        return Found::One(object);
    }
    match by_prefix.len() {
        0 => Found::None,
        1 => by_prefix.pop().map_or(Found::None, Found::One),
        _ => Found::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: [(&str, &str, u8); 3] =
        [("abc1", "web", 1), ("abd2", "db", 2), ("ff00", "abc", 3)];

    #[test]
    fn names_win_over_prefixes_and_ids_over_names() {
        assert_eq!(find("web", OBJECTS), Found::One(1));
        assert_eq!(
            find("abc", OBJECTS),
            Found::One(3),
            "a name beats the prefix of abc1"
        );
        assert_eq!(find("abd", OBJECTS), Found::One(2));
        assert_eq!(find("ab", OBJECTS), Found::Ambiguous);
        assert_eq!(find("x", OBJECTS), Found::None);
        assert_eq!(find("", OBJECTS), Found::None);
    }
}
