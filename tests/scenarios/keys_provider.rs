//! `provider`: services that a program of the user's brings up.

use std::os::unix::fs::PermissionsExt;
use testkit::{Host, kernel, scenarios};

scenarios!(a_provider_is_asked_and_what_it_says_reaches_its_dependents);

const PROGRAM: &str = "#!/bin/sh
echo \"$*\" >> calls
case \"$*\" in *broken*) echo '{\"type\":\"error\",\"message\":\"no quota left\"}'; exit 1;; esac
echo '{\"type\":\"info\",\"message\":\"working on it\"}'
echo '{\"type\":\"setenv\",\"message\":\"URL=tcp://there\"}'
echo '{\"type\":\"rawsetenv\",\"message\":\"PLAIN=raw\"}'
";

fn a_provider_is_asked_and_what_it_says_reaches_its_dependents(host: &Host) {
    let bin = host.folder("provider-bin");
    let program = bin.join("docker-testcloud");
    std::fs::write(&program, PROGRAM).expect("a program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let yaml = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    depends_on: [my-db]\n\
                \x20 other:\n    image: busybox\n    command: sleep 1000\n\
                \x20 my-db:\n    provider:\n      type: testcloud\n      options: {size: 10, kind: [a, b]}\n";
    let project = host.compose_file("provided", yaml);
    let compose = |words: &str| project.compose(words).env("PATH", &path);
    compose("up -d").ok();
    let environment = kernel::environment(host.pid("provided-app-1"));
    assert_eq!(
        environment.get("MY_DB_URL").map(String::as_str),
        Some("tcp://there")
    );
    assert_eq!(environment.get("PLAIN").map(String::as_str), Some("raw"));
    let other = kernel::environment(host.pid("provided-other-1"));
    assert!(!other.contains_key("PLAIN"));
    let before = host.inspect("provided-app-1", "{{.Id}}");
    compose("up -d").ok();
    assert_eq!(
        host.inspect("provided-app-1", "{{.Id}}"),
        before,
        "the same again"
    );
    // A plan asks no program: what was said the last time is what it goes by.
    let plan = compose("up --plan").run();
    assert_eq!(plan.code, 0, "{plan}");
    let asked = project.read("calls").lines().count();
    project.replace("docker-compose.yml", "size: 10", "size: 11");
    compose("up --plan").fails(2).says(&["provided-app-1"]);
    project.replace("docker-compose.yml", "size: 11", "size: 10");
    assert_eq!(project.read("calls").lines().count(), asked);
    compose("stop").ok();
    compose("down").ok();
    assert!(!host.data_root().join("providers/provided.json").exists());
    let said = project.read("calls");
    let calls: Vec<&str> = said.lines().collect();
    let with = |verb: &str| {
        format!("compose --project-name=provided {verb} --kind=a --kind=b --size=10 my-db")
    };
    assert_eq!(calls, [with("up"), with("up"), with("stop"), with("down")]);

    let broken = host.compose_file("unprovided", &yaml.replace("my-db", "broken"));
    let said = broken.compose("up -d").env("PATH", &path).run();
    assert_ne!(said.code, 0);
    said.says(&["broken", "no quota left"]);
    let missing = broken.compose("up -d").run();
    assert_ne!(missing.code, 0);
    missing.says(&["docker-testcloud", "PATH"]);
    assert_eq!(host.docker("ps -aq").ok(), "");
}
