//! Dockerfiles as people write them, and as they should not.

use super::*;
use proptest::prelude::*;

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_usual_file() {
    let file = parse(
        "# syntax=docker/dockerfile:1\nARG V=3.7\nfrom python:$V as Base\n\nrun --mount=type=cache,target=/c \\\n  \
         # why\n  pip install x\nCOPY --from=base --chown=1:2 --exclude=*.md --exclude=b a /b\n",
    )
    .unwrap();
    assert_eq!(file.args.len(), 1);
    let stage = &file.stages[0];
    assert_eq!(stage.from.what.name.as_deref(), Some("base"));
    assert_eq!(stage.from.lines, Lines::one(3));
    let Instruction::Run(run) = &stage.instructions[0].what else {
        panic!("no RUN")
    };
    assert_eq!(run.command, CommandLine::Shell("pip install x".into()));
    assert_eq!(stage.instructions[0].lines, Lines { first: 5, last: 7 });
    let Instruction::Copy(copy) = &stage.instructions[1].what else {
        panic!("no COPY")
    };
    assert_eq!(
        (copy.chown.as_deref(), copy.exclude.len()),
        (Some("1:2"), 2)
    );
}

#[test]
fn mistakes_name_line_cause_and_nearest_word() {
    assert_eq!(
        error("FROM a\nRNU x"),
        "dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)"
    );
    assert_eq!(
        error(""),
        "dockerfile parse error on line 1: file with no instructions"
    );
    assert!(error("RUN x").contains("RUN comes before the first FROM"));
    assert!(error("ARG x").contains("no stages to build"));
    assert!(error("FROM a b").contains("either one or three arguments"));
    assert!(error("FROM a AS 1x").contains("invalid name for build stage"));
    assert!(error("FROM a\nCOPY --form=x a b").contains("did you mean --from?"));
    assert!(error("FROM a\nCOPY --from=x --from=y a b").contains("duplicate flag"));
    assert!(error("FROM a\nCOPY --from a b").contains("missing a value"));
    assert!(error("FROM a\nCOPY --from=$x a b").contains("variable expansion"));
    assert!(error("FROM a\nCOPY a").contains("at least two arguments"));
    assert!(error("FROM a\nCOPY a b c").contains("must be a directory and end with a /"));
    assert!(error("FROM a\nCOPY --link=maybe a b").contains("expecting boolean"));
    assert!(error("FROM a\nENV x").contains("two arguments"));
    assert!(error("FROM a\nSHELL /bin/sh").contains("JSON form"));
    assert!(error("FROM a\nCMD [1]").contains("strings only"));
    assert!(error("FROM a\nHEALTHCHECK --interval=5 CMD x").contains("--interval"));
    assert!(error("FROM a\nHEALTHCHECK MAYBE").contains("MAYBE"));
    assert!(error("FROM a\nONBUILD FROM x").contains("trigger FROM"));
    assert!(error("FROM a\nONBUILD RNU x").contains("did you mean RUN?"));
    assert!(error("FROM a\nRUN --network=hots x").contains("hots"));
    assert!(error("FROM a\nRUN").contains("RUN requires"));
    assert!(error("FROM a\0").contains("NUL"));
    assert!(error("FROM a\nCOPY --from=b <<EOF /x\nEOF").contains("heredoc"));
}

#[test]
fn suspicious_but_allowed_things_are_warnings() {
    let file = parse("FROM a AS x\nCMD a\nCMD b\nMAINTAINER me\nFROM b AS x\n").unwrap();
    let texts: Vec<_> = file
        .warnings
        .iter()
        .map(|(lines, text)| format!("{}: {text}", lines.first))
        .collect();
    assert_eq!(texts.len(), 3);
    assert!(texts[0].starts_with("2: multiple CMD"));
    assert!(texts[2].starts_with("5: duplicate stage name"));
}

#[test]
fn the_escape_directive_frees_the_backslash() {
    let file = parse("# escape=`\nFROM a\nRUN dir c:\\ `\n x\n").unwrap();
    let Instruction::Run(run) = &file.stages[0].instructions[0].what else {
        panic!("no RUN")
    };
    assert_eq!(run.command, CommandLine::Shell("dir c:\\  x".into()));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_nothing() {
    let file = parse("\u{feff}FROM a\r\nRUN b \\\r\n c\r\n").unwrap();
    assert_eq!(file.stages[0].instructions[0].text, "RUN b  c");
}

#[test]
fn triggers_are_read_alone_and_with_their_heredocs() {
    let file = parse("FROM a\nONBUILD RUN <<EOF\nx\nEOF\n").unwrap();
    let Instruction::Onbuild(text) = &file.stages[0].instructions[0].what else {
        panic!("no ONBUILD")
    };
    let trigger = parse_trigger(text).unwrap();
    let Instruction::Run(run) = trigger.what else {
        panic!("no RUN")
    };
    assert_eq!(run.heredocs[0].content, "x\n");
}

#[test]
fn hostile_files_are_read_or_refused_in_proportion() {
    let long = format!("FROM a\nRUN {}\n", "x \\\n".repeat(200_000));
    assert!(parse(&long).is_ok());
    let many = format!("FROM a\n{}", "ENV a=b\n".repeat(50_000));
    assert!(parse(&many).is_ok());
    let nested = format!("FROM a\nCMD {}\n", "[".repeat(100_000));
    assert!(parse(&nested).is_ok(), "not JSON, so a shell command");
    let heredocs = format!("FROM a\nRUN {}\n", "<<a ".repeat(1_000));
    assert!(parse(&heredocs).is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_likely_text_panics(words in prop::collection::vec(
        prop::sample::select(vec!["FROM ", "a", "\n", "RUN ", "COPY ", "--from=", "--mount=", "<<E", "E", "\\", "\"", "'",
            "[\"", "\"]", "$x", "${", "ONBUILD ", "HEALTHCHECK ", "=", " ", "#", "\t", "ARG ", "ENV ", "`", "é"]), 0..40)) {
        let _ = parse(&("FROM a\n".to_owned() + &words.concat()));
    }
}
