//! `up --plan`: it changes nothing, whatever the project, and what it says is what `up` then does.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use testkit::{Host, Project, kernel, scenarios};

scenarios!(a_plan_changes_nothing, what_is_planned_is_what_is_done);

/// The projects that the loader is tried on.
fn corpus() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/compose-file/tests/corpus");
    let folders = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("the corpus").flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.is_dir()).collect()
    };
    let mut all: Vec<PathBuf> = folders(&top)
        .iter()
        .flat_map(|area| folders(area))
        .collect();
    all.sort();
    all
}

/// Everything that lies in a folder: size, mode and the time of its last change.
fn state_of(dir: &Path) -> BTreeMap<String, (u64, u32, i64, i64)> {
    let seen = |name: String| {
        let meta = dir.join(&name).symlink_metadata().ok()?;
        let times = (meta.mtime(), meta.mtime_nsec());
        Some((name, (meta.len(), meta.mode(), times.0, times.1)))
    };
    kernel::files_below(dir)
        .into_iter()
        .filter_map(seen)
        .collect()
}

type Scene = (
    BTreeMap<String, (u64, u32, i64, i64)>,
    BTreeMap<String, (u64, u32, i64, i64)>,
    Vec<i32>,
    std::collections::BTreeSet<String>,
    Vec<String>,
    usize,
);

fn scene(host: &Host) -> Scene {
    let mut groups: Vec<PathBuf> = Vec::new();
    for id in std::fs::read_dir(host.data_root().join("containers"))
        .into_iter()
        .flatten()
        .flatten()
    {
        groups.extend(kernel::cgroups_with(&id.file_name().to_string_lossy()));
    }
    (
        state_of(&host.data_root()),
        state_of(&host.run_root()),
        host.processes(),
        kernel::links(),
        kernel::nft_elements(),
        groups.len(),
    )
}

/// What an options file of a case says of the environment and the command line.
fn plan(project: &Project<'_>, case: &Path) -> testkit::Output {
    let options = std::fs::read_to_string(case.join("options")).unwrap_or_default();
    let mut words = String::new();
    let mut environment = Vec::new();
    for (key, value) in options.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "profile" => words.push_str(&format!("--profile {value} ")),
            "env" => environment.extend(value.split_once('=')),
            _ => {}
        }
    }
    let call = project.compose(&format!("{words}up --plan"));
    let call = environment
        .into_iter()
        .fold(call, |call, (key, value)| call.env(key, value));
    call.run()
}

fn a_plan_changes_nothing(host: &Host) {
    // Something runs, so that there is something to be changed.
    let yaml = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n    ports: ['8099:80']\n";
    host.compose_file("there", yaml).compose("up -d").ok();
    let before = scene(host);
    let (mut planned, mut refused) = (0, 0);
    for (number, case) in corpus().iter().enumerate() {
        let folder = host.folder(&format!("case{number}"));
        kernel::tool_ok(&format!("cp -a {}/. {}", case.display(), folder.display()));
        let project = host.existing_project(&format!("case{number}"));
        let own = state_of(&folder);
        let said = plan(&project, case);
        match said.code {
            0 | 2 => planned += 1,
            1 => refused += 1,
            _ => panic!("{}: {said}", case.display()),
        }
        assert!(
            !said.all().contains("panicked"),
            "{}: {said}",
            case.display()
        );
        assert_eq!(state_of(&folder), own, "{}", case.display());
        assert_eq!(scene(host), before, "{}", case.display());
    }
    assert!(
        planned >= 150 && refused > 0,
        "{planned} planned, {refused} refused"
    );
}

/// What a plan's steps are called among the engine's events.
fn announced(project: &Project<'_>, words: &str) -> Vec<String> {
    let said = project
        .compose(&format!("up {words} --plan --format json"))
        .run();
    assert!(matches!(said.code, 0 | 2), "{said}");
    let plan: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    let mut steps: Vec<String> = plan["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter_map(|step| {
            let object = &step["object"];
            let (kind, key, action) = match step["operation"].as_str()? {
                "CreateNetwork" => ("network", "network", "create"),
                "RemoveNetwork" => ("network", "network", "destroy"),
                "CreateVolume" => ("volume", "volume", "create"),
                "CreateContainer" => ("container", "container", "create"),
                "RenameContainer" => ("container", "to", "rename"),
                "StartContainer" => ("container", "container", "start"),
                "StopContainer" => ("container", "container", "stop"),
                "RemoveContainer" => ("container", "container", "destroy"),
                _ => return None,
            };
            Some(format!("{kind} {action} {}", object[key].as_str()?))
        })
        .collect();
    steps.sort();
    steps
}

/// The engine's events since a count of them, of the kinds that plans have steps for.
fn events(host: &Host, after: usize) -> (Vec<String>, usize) {
    let until = kernel::tool_ok("date +%s.%N");
    let call = host.docker(&format!("events --since 1 --until {until} --format"));
    let said = call.arg("{{.Type}} {{.Action}} {{with index .Actor.Attributes \"name\"}}{{.}}{{else}}{{$.Actor.ID}}{{end}}").ok();
    let all: Vec<&str> = said.lines().collect();
    let known = ["create", "destroy", "rename", "start", "stop"];
    let mut new: Vec<String> = all[after..]
        .iter()
        .filter(|line| {
            line.split(' ')
                .nth(1)
                .is_some_and(|action| known.contains(&action))
        })
        .map(|line| (*line).to_owned())
        .collect();
    new.sort();
    (new, all.len())
}

const FIRST: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    environment: {LEVEL: one}
    depends_on: [db]
    volumes: ['data:/data']
  db:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    networks: [back, default]
    deploy: {replicas: 2}
  joined:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    network_mode: service:app
volumes: {data: }
networks: {back: , default: }
";

fn what_is_planned_is_what_is_done(host: &Host) {
    let project = host.compose_file("exact", FIRST);
    let mut seen = 0;
    let mut step = |words: &str| {
        let announced = announced(&project, words);
        project.compose(&format!("up -d {words}")).ok();
        let (done, count) = events(host, seen);
        seen = count;
        assert_eq!(done, announced, "up -d {words}");
        let after = project.compose(&format!("up {words} --plan")).run();
        if !words.contains("--force-recreate") {
            assert_eq!(after.code, 0, "nothing is left to do: {after}");
        }
        announced.len()
    };
    assert_eq!(
        step(""),
        11,
        "networks, volume, four containers made and started"
    );
    assert_eq!(step(""), 0);
    project.replace("docker-compose.yml", "LEVEL: one", "LEVEL: two");
    assert!(step("") >= 10, "with the one that shares its network");
    step("--scale db=3");
    step("--scale db=1");
    project.replace("docker-compose.yml", "replicas: 2", "replicas: 1");
    step("--force-recreate db");
    let without = project.read("docker-compose.yml");
    let (head, rest) = without.split_once("  joined:").expect("a service");
    let (_, tail) = rest.split_once("volumes: {data").expect("volumes");
    project.write(
        "docker-compose.yml",
        &format!("{head}volumes: {{data{tail}"),
    );
    assert_eq!(step("--remove-orphans"), 2);
    host.docker("stop exact-db-1").ok();
    seen_again(host, &project);
}

/// What a plan says of one that was stopped from outside.
fn seen_again(host: &Host, project: &Project<'_>) {
    let (_, before) = events(host, 0);
    let announced = announced(project, "");
    assert_eq!(announced, ["container start exact-db-1"]);
    project.compose("up -d").ok();
    assert_eq!(events(host, before).0, announced);
    project.compose("down -v").ok();
}
