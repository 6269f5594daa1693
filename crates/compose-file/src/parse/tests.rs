use super::*;
use crate::testing::show;

fn try_parse(text: &str) -> Result<Node, String> {
    let mut sources = Sources::default();
    match parse(Path::new("c.yaml"), text.as_bytes(), &mut sources) {
        Ok(mut documents) if documents.len() == 1 => Ok(documents.remove(0)),
        Ok(documents) => Err(format!("{} documents", documents.len())),
        Err(error) => Err(error.render()),
    }
}

fn tree(text: &str) -> Node {
    try_parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn places_are_exact() {
    let root =
        tree("services:\n  web:\n    image: nginx\n    ports:\n      - \"80\"\n      - 81\n");
    let web = root.get("services").unwrap().get("web").unwrap();
    let image = web.as_map().unwrap().entry("image").unwrap();
    assert_eq!((image.place.line, image.place.column), (3, 5));
    assert_eq!((image.node.place.line, image.node.place.column), (3, 12));
    let port = &web.get("ports").unwrap().as_list().unwrap()[1];
    assert_eq!((port.place.line, port.place.column), (6, 9));
}

#[test]
fn scalars_keep_their_quotes_meaning() {
    assert_eq!(
        show(&tree(
            "{a: 1, b: \"1\", c: yes, d: 0755, e: !!str 5, f: ~, g: 'x', 1: true}"
        )),
        "{a: 1, b: \"1\", c: \"yes\", d: 493, e: \"5\", f: null, g: \"x\", 1: true}"
    );
    assert_eq!(
        show(&tree("a: |\n  x\n  y\nb: >-\n  p\n  q\n")),
        "{a: \"x\\ny\\n\", b: \"p q\"}"
    );
    assert!(
        try_parse("a: !!int x")
            .unwrap_err()
            .contains("not an integer")
    );
}

#[test]
fn anchors_aliases_and_merge_keys() {
    assert_eq!(
        show(&tree("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3, r: 4}")),
        "{a: {p: 1, q: 2}, b: {q: 3, r: 4, p: 1}}"
    );
    assert_eq!(
        show(&tree(
            "a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc:\n  <<: [*x, *y]\n"
        )),
        "{a: {p: 1}, b: {p: 2, q: 2}, c: {p: 1, q: 2}}"
    );
    assert_eq!(
        show(&tree("a: &x {p: 1}\nb: &y\n  <<: *x\n  q: 2\nc: {<<: *y}")),
        "{a: {p: 1}, b: {q: 2, p: 1}, c: {q: 2, p: 1}}"
    );
    assert_eq!(show(&tree("a: &x [1, 2]\nb: *x")), "{a: [1, 2], b: [1, 2]}");
    assert_eq!(show(&tree("a: {\"<<\": 1}")), "{a: {<<: 1}}");
    assert!(
        try_parse("a: &x 1\nb: {<<: *x}")
            .unwrap_err()
            .contains("map merge requires map")
    );
    assert!(
        try_parse("b: {<<: [1]}")
            .unwrap_err()
            .contains("map merge requires map")
    );
}

#[test]
fn merge_tags() {
    assert_eq!(
        show(&tree(
            "a: !reset null\nb: !override [1]\nc: !reset {x: 1}\nd: !reset\n"
        )),
        "{a: !reset null, b: !override [1], c: !reset null, d: !reset null}"
    );
    assert_eq!(
        show(&tree("x: &x {a: !reset null}\ny: {<<: *x}")),
        "{x: {a: !reset null}, y: {a: !reset null}}"
    );
    assert_eq!(show(&tree("a: !custom 1")), "{a: 1}");
}

#[test]
fn duplicate_keys_name_both_places() {
    assert_eq!(
        try_parse("services:\n  web:\n    image: a\n    image: b\n").unwrap_err(),
        "c.yaml:4:5: mapping key \"image\" already defined\n  4 |     image: b\n    |     ^\n  Cause: first defined at c.yaml:3:5\n  Hint: keep one of the two, or merge them into one"
    );
}

#[test]
fn bad_yaml_says_where_and_what_to_do() {
    for (text, line, words) in [
        ("a:\n\tb: 1\n", 2, "tabs"),
        ("a: \"open\n", 2, "close the quote"),
        ("a: [1, 2\nb: 3\n", 1, ""),
        ("a: b: c\n", 1, "quotes"),
        ("a: *nope\n", 1, "anchor"),
        ("a:\n  b: 1\n c: 2\n", 3, "column"),
        ("a: 1\n- b\n", 2, ""),
        ("{a: 1]}\n", 1, ""),
    ] {
        let error = try_parse(text).unwrap_err();
        assert!(error.contains("not valid YAML"), "{text:?}: {error}");
        assert!(error.contains(words), "{text:?}: {error}");
        assert!(
            error.starts_with(&format!("c.yaml:{line}:")) || words.is_empty(),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn several_documents_and_none() {
    let mut sources = Sources::default();
    let parse = |text: &str, sources: &mut Sources| {
        parse(Path::new("x"), text.as_bytes(), sources)
            .unwrap()
            .len()
    };
    assert_eq!(parse("a: 1\n---\nb: 2\n", &mut sources), 2);
    assert_eq!(parse("", &mut sources), 0);
    assert_eq!(parse("# nothing\n", &mut sources), 0);
    assert_eq!(parse("---\n---\na: 1\n", &mut sources), 1);
    assert_eq!(parse("\u{feff}a: 1\n", &mut sources), 1);
}

#[test]
fn alias_bombs_stop_at_the_node_limit() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(
        try_parse(&text)
            .unwrap_err()
            .contains("aliases copy more than 100000 nodes")
    );
}

#[test]
fn alias_copies_of_a_big_text_stop_at_the_byte_limit() {
    let text = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(50)
    );
    assert!(try_parse(&text).unwrap_err().contains("copy too much text"));
}

#[test]
fn depth_is_limited_in_the_text_and_through_aliases() {
    for text in [
        "[".repeat(5_000),
        "{a: ".repeat(5_000),
        (0..5_000)
            .map(|n| format!("{}a:\n", " ".repeat(n)))
            .collect(),
    ] {
        assert!(try_parse(&text).is_err());
    }
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..500 {
        text.push_str(&format!("a{level}: &a{level} [[[*a{}]]]\n", level - 1));
    }
    assert!(
        try_parse(&text)
            .unwrap_err()
            .contains("nested deeper than 100 levels")
    );
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    assert!(
        try_parse("a: &a [*a]")
            .unwrap_err()
            .contains("cannot stand inside the node it names")
    );
    assert!(try_parse("a: &a {b: *a}").is_err());
}

#[test]
fn invalid_utf8_names_the_byte_and_its_place() {
    let mut sources = Sources::default();
    let error = parse(Path::new("c.yaml"), b"a: 1\nb: \xff\n", &mut sources)
        .unwrap_err()
        .render();
    assert!(
        error.starts_with("c.yaml:2:4: byte 0xff is not valid UTF-8"),
        "{error}"
    );
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let error = parse(
        Path::new("c.yaml"),
        &vec![b'a'; (16 << 20) + 1],
        &mut Sources::default(),
    )
    .unwrap_err();
    assert!(error.message.contains("larger than 16 MiB"));
}

#[test]
fn complex_keys_are_refused() {
    assert!(
        try_parse("? [a, b]\n: 1\n")
            .unwrap_err()
            .contains("a list cannot be a key")
    );
}

#[test]
fn anchors_inside_anchors_do_not_fill_the_memory() {
    let text = format!(
        "{}\"{}\"{}",
        "[&a ".repeat(90),
        "x".repeat(8 << 20),
        "]".repeat(90)
    );
    let numbered = (0..90).fold(text, |text, n| {
        text.replacen("[&a ", &format!("[&a{n} "), 1)
    });
    assert!(
        try_parse(&numbered)
            .unwrap_err()
            .contains("anchors stand inside anchors too often")
    );
}

#[test]
fn an_open_quote_is_shown_where_it_opens() {
    let error = try_parse("services:\n  a:\n    image: x\n    ports: \"80:80\n").unwrap_err();
    assert!(
        error.contains("Cause: a quote is opened at c.yaml:4:12"),
        "{error}"
    );
}

#[test]
fn other_slips_have_hints() {
    assert!(
        try_parse("a: [1, 2\nb:\n  c: 1\n")
            .unwrap_err()
            .contains("close the [ or {")
    );
    assert!(
        try_parse("a: x\n\tb: y\n")
            .unwrap_err()
            .contains("not with tabs")
    );
    assert!(
        try_parse("a x\nb: y\n")
            .unwrap_err()
            .contains("the key in the line before needs its")
    );
}
