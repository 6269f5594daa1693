//! Input that means harm, or nothing.

use super::*;
use proptest::prelude::*;

/// Words that lead deep into the loader.
const WORDS: [&str; 40] = [
    "services:",
    "  web:",
    "    image: x",
    "    build: .",
    "    ports:",
    "      - 80:80",
    "    environment:",
    "      A: 1",
    "      - B=2",
    "volumes:",
    "  v:",
    "networks:",
    "  n: {external: true}",
    "include: [compose.yaml]",
    "    extends: web",
    "    depends_on: [web]",
    "<<: *a",
    "&a",
    "*a",
    "!reset",
    "!override",
    "${X:-${Y}}",
    "$",
    "${",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "|",
    ">-",
    "\t",
    "# c",
    "---",
    "? [a]",
    ": ",
    "- ",
    "0755",
    "~",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = load_text(&text);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut files = MemoryFiles::default();
        files.files.insert("/p/compose.yaml".into(), bytes.clone());
        files.files.insert("/p/.env".into(), bytes);
        let _ = crate::load(&options(), &files);
    }

    #[test]
    fn shuffled_words_of_compose_files_never_panic(lines in proptest::collection::vec((0usize..4, proptest::sample::select(&WORDS[..])), 0..30)) {
        let text: String = lines.iter().map(|(deep, word)| format!("{}{word}\n", "  ".repeat(*deep))).collect();
        let _ = load_text(&text);
    }

    #[test]
    fn what_loads_can_be_printed_and_loaded_again(key in proptest::sample::select(vec!["ports", "volumes", "healthcheck", "deploy", "command", "entrypoint", "environment", "labels", "extra_hosts", "tmpfs", "hostname", "dns_search"]), value in "[\\[\\]{}:,'0-9a-zA-Z/.~$ -]{0,30}") {
        if let Ok(loaded) = load_text(&format!("services: {{a: {{image: x, {key}: {value}}}}}")) {
            let text = crate::to_yaml(&loaded.project).unwrap();
            let again = load_text(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
            prop_assert_eq!(&again.project.services, &loaded.project.services, "{}", text);
        }
    }

    #[test]
    fn arbitrary_values_of_known_keys_never_panic(key in proptest::sample::select(vec!["ports", "volumes", "healthcheck", "deploy", "command", "extra_hosts", "ulimits", "gpus", "devices", "secrets", "tmpfs", "networks", "cpus", "mem_limit"]), value in "[\\[\\]{}:,'0-9a-z/.~ -]{0,40}") {
        let _ = load_text(&format!("services: {{a: {{image: x, {key}: {value}}}}}"));
    }
}

#[test]
fn a_huge_scalar_is_read_or_refused_but_quick() {
    let text = format!(
        "services: {{a: {{image: x, command: [\"{}\"]}}}}",
        "y".repeat(8 << 20)
    );
    assert!(load_text(&text).is_ok());
}

#[test]
fn merge_keys_that_point_at_themselves_are_refused() {
    assert!(load_text("services: &s {a: {<<: *s}}").is_err());
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let error = load_text("services:\n  a:\n    image: x\n    \"imag\\e[31me\": y\n")
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\u{1b}'), "{error:?}");
}
