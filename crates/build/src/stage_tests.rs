//! Stages as text: a Dockerfile in, actions and configuration out.

use crate::dockerfile;
use crate::scope::{Globals, automatic};
use crate::stage::{Action, StageState};

fn built(text: &str, given: &[(&str, &str)]) -> (StageState, Vec<Action>) {
    let file = dockerfile::parse(text).unwrap();
    let platform = oci::Platform::new("linux", "amd64", None);
    let given = given
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let escape = file.directives.escape;
    let globals = Globals::new(&file.args, given, automatic(&platform, ""), escape).unwrap();
    let mut stage = StageState::on_scratch(&platform);
    let instructions = &file.stages[0].instructions;
    let actions = instructions
        .iter()
        .map(|placed| stage.apply(placed, &globals, "now").unwrap());
    let actions = actions.filter(|action| *action != Action::None).collect();
    (stage, actions)
}

fn failure(text: &str) -> String {
    let file = dockerfile::parse(text).unwrap();
    let globals = Globals {
        escape: '\\',
        ..Globals::default()
    };
    let mut stage = StageState::on_scratch(&oci::Platform::new("linux", "amd64", None));
    let mut results = file.stages[0]
        .instructions
        .iter()
        .map(|placed| stage.apply(placed, &globals, "now"));
    results
        .find_map(Result::err)
        .expect("a mistake")
        .to_string()
}

fn history(stage: &StageState) -> Vec<&str> {
    stage
        .image
        .history
        .iter()
        .map(|entry| entry.created_by.as_str())
        .collect()
}

#[test]
fn configuration_and_history() {
    let text = r#"FROM scratch
ENV a=1 b="two words" c=$a
ENV old form  here
LABEL x=$b "y z"='q'
EXPOSE 80 53/UDP 7000-7002
VOLUME ["/data", "/$a"]
USER app:app
STOPSIGNAL SIGQUIT
CMD echo hi
ENTRYPOINT ["/run", "x"]
HEALTHCHECK --interval=1m30s --retries=5 CMD curl -f http://localhost
ONBUILD RUN echo $later
SHELL ["/bin/bash", "-c"]
MAINTAINER me
"#;
    let (stage, actions) = built(text, &[]);
    assert!(actions.is_empty());
    let config = &stage.image.config;
    assert_eq!(
        config.env[1..],
        ["a=1", "b=two words", "c=", "old=form  here"]
    );
    assert_eq!(config.labels["x"], "two words");
    assert_eq!(config.labels["y z"], "q");
    let ports: Vec<_> = config.exposed_ports.keys().map(String::as_str).collect();
    assert_eq!(
        ports,
        ["53/udp", "7000/tcp", "7001/tcp", "7002/tcp", "80/tcp"]
    );
    assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/1", "/data"]);
    assert_eq!(config.cmd.as_deref().unwrap(), ["/bin/sh", "-c", "echo hi"]);
    assert_eq!(config.entrypoint.as_deref().unwrap(), ["/run", "x"]);
    let health = config.healthcheck.as_ref().unwrap();
    assert_eq!(health.test, ["CMD-SHELL", "curl -f http://localhost"]);
    assert_eq!(
        (health.interval, health.retries, health.timeout),
        (90_000_000_000, 5, 0)
    );
    assert_eq!(config.on_build, ["RUN echo $later"]);
    assert_eq!(stage.image.author.as_deref(), Some("me"));
    let lines = history(&stage);
    assert_eq!(lines[0], "ENV a=1 b=two words c=");
    assert_eq!(
        lines[3],
        "EXPOSE map[53/udp:{} 7000/tcp:{} 7001/tcp:{} 7002/tcp:{} 80/tcp:{}]"
    );
    assert_eq!(lines[7], "CMD [\"/bin/sh\" \"-c\" \"echo hi\"]");
    assert!(stage.image.history.iter().all(|entry| entry.empty_layer));
}

#[test]
fn an_entrypoint_clears_an_inherited_command() {
    let mut stage = built("FROM scratch\nCMD a", &[]).0.on_stage();
    let file = dockerfile::parse("FROM x\nENTRYPOINT b").unwrap();
    stage
        .apply(&file.stages[0].instructions[0], &Globals::default(), "now")
        .unwrap();
    assert_eq!(stage.image.config.cmd, None);
}

#[test]
fn run_gets_shell_arguments_environment_and_directory() {
    let text = "ARG v=1\nFROM scratch\nARG v w=2 unset\nENV w=env e=x\nWORKDIR /a\nWORKDIR b/../c\nUSER 5\n\
                SHELL [\"/bin/bash\", \"-ec\"]\nRUN --network=none echo $v\nRUN [\"/p\", \"$v\"]\n";
    let (stage, actions) = built(text, &[("HTTPS_PROXY", "p"), ("w", "flag")]);
    let Action::Run(run) = &actions[2] else {
        panic!("{actions:?}")
    };
    assert_eq!(run.argv, ["/bin/bash", "-ec", "echo $v"]);
    assert_eq!(run.cwd, "/a/c");
    assert_eq!(run.user, "5");
    let env: Vec<String> = run
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(env[0], "v=1");
    assert_eq!(env[2..], ["w=env", "e=x"]);
    assert_eq!(run.proxies, [("HTTPS_PROXY".to_owned(), "p".to_owned())]);
    assert!(history(&stage).contains(&"RUN |1 v=1 /bin/bash -ec echo $v # buildkit"));
    let Action::Run(exec) = &actions[3] else {
        panic!("{actions:?}")
    };
    assert_eq!(exec.argv, ["/p", "$v"]);
}

#[test]
fn heredocs_become_scripts_programs_and_files() {
    let text = "FROM scratch\nENV x=1\nRUN <<EOF\necho a\necho $x\nEOF\nRUN <<EOF\n#!/usr/bin/python3\nprint(1)\nEOF\n\
                RUN cat <<-A > /f\n\tone\n\tA\nCOPY <<a <<'b' /d/\n$x \"q\"\na\n$x\nb\n";
    let (_, actions) = built(text, &[]);
    let run = |index: usize| match &actions[index] {
        Action::Run(run) => (**run).clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(run(0).argv[2], "echo a\necho $x\n");
    assert_eq!(run(1).argv, ["/dev/pipes/EOF"]);
    assert_eq!(run(1).script.unwrap().1, "#!/usr/bin/python3\nprint(1)\n");
    assert_eq!(run(2).argv[2], "cat <<-A > /f\n\tone\nA");
    let Action::Copy(copy) = &actions[3] else {
        panic!("{actions:?}")
    };
    let expected = [
        ("a".to_owned(), "1 \"q\"\n".to_owned()),
        ("b".to_owned(), "$x\n".to_owned()),
    ];
    assert_eq!(copy.files, expected);
    assert_eq!(copy.destination, "/d/");
    assert!(copy.sources.is_empty());
}

#[test]
fn copy_destinations_keep_their_meaning() {
    let text = "FROM scratch\nWORKDIR /w\nENV d=sub\nCOPY a .\nCOPY a $d\nCOPY a /x/\nCOPY [\"a b\", \"../y\"]\nADD a b ./\n";
    let (_, actions) = built(text, &[]);
    let destinations: Vec<&str> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Copy(copy) => Some(copy.destination.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(destinations, ["/w/", "/w/sub", "/x/", "/y", "/w/"]);
}

#[test]
fn mistakes_that_show_only_with_the_values() {
    assert!(failure("FROM x\nADD --checksum=sha256:0 a /a").contains("that of one source"));
    assert!(failure("FROM x\nSTOPSIGNAL SIGNOPE").contains("SIGNOPE"));
    assert!(failure("FROM x\nEXPOSE 80:80").contains("80:80"));
    assert!(failure("FROM x\nENV d=/x\nCOPY a b $d").contains("must be a directory"));
    assert!(
        failure("FROM x\nENV t=/x\nRUN --mount=type=cache,targte=$t true")
            .contains("did you mean target?")
    );
    assert!(failure("FROM x\nRUN --mount=type=secret,id=a,mode=9$z true").contains("no number"));
}
