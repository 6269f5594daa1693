//! Specifications good and hostile, and the names that find devices in them.

use super::document::{Broken, Document};
use super::*;
use crate::fixture::{record, refusal};
use model::container::ContainerSpec;
use std::path::Path;
use tempfile::TempDir;

/// Directories with files in them: `(directory, name, text)`.
fn dirs(files: &[(usize, &str, &str)]) -> (TempDir, Vec<PathBuf>) {
    let top = tempfile::tempdir().unwrap();
    let dirs: Vec<PathBuf> = ["etc", "run"].map(|d| top.path().join(d)).to_vec();
    for dir in &dirs {
        std::fs::create_dir(dir).unwrap();
    }
    for (dir, name, text) in files {
        std::fs::write(dirs[*dir].join(name), text).unwrap();
    }
    (top, dirs)
}

const VENDOR: &str = r#"
cdiVersion: "0.6.0"
kind: vendor.com/class
containerEdits:
  env: [ALL=1, PATH=/opt/vendor/bin]
  additionalGids: [0, 44]
devices:
  - name: "0"
    containerEdits:
      env: [ONE=1]
      deviceNodes: [{path: /dev/vendor0, hostPath: /dev/null, permissions: rw}]
      mounts: [{hostPath: /usr, containerPath: /opt/vendor, options: [ro, nosuid]}]
      hooks: [{hookName: createContainer, path: /usr/bin/vendor-hook, args: [vendor-hook, update], timeout: 5}]
  - name: fixed
    containerEdits:
      deviceNodes: [{path: /dev/fixed, type: c, major: 195, minor: 7, fileMode: 0640, uid: 5, gid: 6}]
"#;

fn ask(names: &[&str]) -> Vec<DeviceRequest> {
    vec![DeviceRequest::cdi(
        names.iter().map(|n| (*n).to_owned()).collect(),
    )]
}

fn built(edits: Edits) -> oci_spec::runtime::Spec {
    let facts = crate::spec::Facts {
        edits,
        ..crate::spec::tests::facts()
    };
    crate::spec::build(&record(ContainerSpec::default()), &facts).unwrap()
}

#[test]
fn a_device_brings_its_own_edits_and_those_of_its_file_once() {
    let (_top, dirs) = dirs(&[(0, "vendor.yaml", VENDOR)]);
    let edits = resolve(
        &dirs,
        &ask(&["vendor.com/class=0", "vendor.com/class=fixed"]),
    )
    .unwrap();
    assert_eq!(edits.additional_gids, [44]);
    let spec = built(edits);
    let env = spec.process().as_ref().unwrap().env().clone().unwrap();
    assert_eq!(env.iter().filter(|e| e.starts_with("ALL=")).count(), 1);
    assert_eq!(env.iter().filter(|e| e.starts_with("PATH=")).count(), 1);
    assert!(env.contains(&"PATH=/opt/vendor/bin".to_owned()) && env.contains(&"ONE=1".to_owned()));
    let linux = spec.linux().as_ref().unwrap();
    let nodes = linux.devices().as_ref().unwrap();
    let node = |path: &str| nodes.iter().find(|n| n.path() == Path::new(path)).unwrap();
    assert_eq!(
        (node("/dev/vendor0").major(), node("/dev/vendor0").minor()),
        (1, 3)
    );
    let fixed = node("/dev/fixed");
    assert_eq!((fixed.major(), fixed.minor()), (195, 7));
    assert_eq!(
        (fixed.file_mode(), fixed.uid(), fixed.gid()),
        (Some(0o640), Some(5), Some(6))
    );
    let rules = linux
        .resources()
        .as_ref()
        .unwrap()
        .devices()
        .clone()
        .unwrap();
    let rule = rules.iter().find(|r| r.major() == Some(1)).unwrap();
    assert_eq!(rule.access().as_deref(), Some("rw"));
    let mounts = spec.mounts().as_ref().unwrap();
    let mount = mounts
        .iter()
        .find(|m| m.destination() == Path::new("/opt/vendor"))
        .unwrap();
    assert_eq!(
        mount.options().as_deref().unwrap(),
        ["ro", "nosuid", "bind"]
    );
    let hooks = spec
        .hooks()
        .as_ref()
        .unwrap()
        .create_container()
        .clone()
        .unwrap();
    assert_eq!(hooks[0].path(), Path::new("/usr/bin/vendor-hook"));
    assert_eq!(hooks[0].timeout(), Some(5));
}

#[test]
fn without_a_request_nothing_is_read_and_nothing_changes() {
    let edits = resolve(&[PathBuf::from("/no/such")], &[]).unwrap();
    assert!(edits.is_empty());
    assert!(built(edits).hooks().is_none());
}

#[test]
fn a_later_directory_wins_and_two_files_of_one_are_a_conflict() {
    let other = r#"{"cdiVersion": "1.0.0", "kind": "vendor.com/class", "devices": [
        {"name": "0", "containerEdits": {"env": ["FROM=run"]}}]}"#;
    let (_top, dirs) = dirs(&[(0, "a.yaml", VENDOR), (1, "b.json", other)]);
    let spec = built(resolve(&dirs, &ask(&["vendor.com/class=0"])).unwrap());
    let env = spec.process().as_ref().unwrap().env().clone().unwrap();
    assert!(env.contains(&"FROM=run".to_owned()) && !env.contains(&"ONE=1".to_owned()));
    std::fs::write(dirs[1].join("c.json"), other).unwrap();
    let said = refusal(resolve(&dirs, &ask(&["vendor.com/class=0"])));
    assert!(said.contains("b.json") && said.contains("c.json"), "{said}");
    assert!(resolve(&dirs, &ask(&["vendor.com/class=fixed"])).is_ok());
}

#[test]
fn what_is_not_found_is_told_with_what_there_is() {
    let (_top, dirs) = dirs(&[
        (0, "vendor.yaml", VENDOR),
        (0, "broken.json", "{"),
        (0, "ignored.yml", VENDOR),
    ]);
    let said = refusal(resolve(&dirs, &ask(&["vendor.com/class=1"])));
    assert!(
        said.starts_with("unresolvable CDI device vendor.com/class=1: known are 0, fixed"),
        "{said}"
    );
    assert!(said.contains("broken.json is not used"), "{said}");
    let said = refusal(resolve(&dirs, &ask(&["other.com/class=1"])));
    assert!(
        said.contains("no specification of other.com/class"),
        "{said}"
    );
    assert!(refusal(resolve(&dirs, &ask(&["../x"]))).contains("vendor.com/class=name"));
}

fn gpu(count: i64, ids: &[&str]) -> DeviceRequest {
    DeviceRequest {
        count,
        device_ids: ids.iter().map(|i| (*i).to_owned()).collect(),
        capabilities: vec![vec!["gpu".to_owned()]],
        ..Default::default()
    }
}

const NVIDIA: &str = r#"{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [
    {"name": "0", "containerEdits": {"env": ["G0=1"]}}, {"name": "1", "containerEdits": {"env": ["G1=1"]}},
    {"name": "GPU-abc", "containerEdits": {"env": ["GA=1"]}}, {"name": "all", "containerEdits": {"env": ["ALL=1"]}}]}"#;

#[test]
fn gpus_are_found_by_number_by_name_or_all() {
    let (_top, dirs) = dirs(&[(0, "nvidia.json", NVIDIA)]);
    let library = Library::read(&dirs);
    let names = |request: &DeviceRequest| names_of(request, &library).unwrap();
    assert_eq!(names(&gpu(-1, &[])), ["nvidia.com/gpu=all"]);
    assert_eq!(
        names(&gpu(2, &[])),
        ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    );
    assert_eq!(names(&gpu(0, &["GPU-abc"])), ["nvidia.com/gpu=GPU-abc"]);
    assert_eq!(names(&gpu(0, &["nvidia.com/gpu=1"])), ["nvidia.com/gpu=1"]);
    assert!(names(&gpu(i64::MAX, &[])).len() < 10);
    let said = refusal(resolve(&dirs, &[gpu(3, &[])]));
    assert!(said.contains("nvidia.com/gpu=2"), "{said}");
}

#[test]
fn a_gpu_without_a_specification_says_how_to_make_one() {
    let (_top, dirs) = dirs(&[]);
    let said = refusal(resolve(&dirs, &[gpu(-1, &[])]));
    assert!(
        said.starts_with("could not select device driver \"\" with capabilities: [[gpu]]"),
        "{said}"
    );
    assert!(said.contains("nvidia-ctk cdi generate"), "{said}");
    let tpu = DeviceRequest {
        capabilities: vec![vec!["tpu".to_owned()]],
        ..Default::default()
    };
    assert!(refusal(resolve(&dirs, &[tpu])).contains("known drivers are"));
}

fn broken(json: &str) -> String {
    Document::parse(Path::new("x.json"), json.as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn hostile_specifications_are_refused() {
    let with = |edits: &str| {
        broken(&format!(
            r#"{{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{{"name": "x", "containerEdits": {edits}}}]}}"#
        ))
    };
    for (edits, says) in [
        (r#"{"env": ["=x"]}"#, "NAME=value"),
        (r#"{"env": ["A=\u0000"]}"#, "NAME=value"),
        (r#"{"deviceNodes": [{"path": "dev/x"}]}"#, "absolute"),
        (
            r#"{"deviceNodes": [{"path": "/dev/../etc/x"}]}"#,
            "absolute",
        ),
        (
            r#"{"deviceNodes": [{"path": "/dev/x", "type": "z"}]}"#,
            "type is one of",
        ),
        (
            r#"{"deviceNodes": [{"path": "/dev/x", "permissions": "rwx"}]}"#,
            "permissions",
        ),
        (
            r#"{"mounts": [{"hostPath": "/a", "containerPath": "b"}]}"#,
            "absolute",
        ),
        (r#"{"mounts": [{"hostPath": "/a"}]}"#, "missing field"),
        (
            r#"{"hooks": [{"hookName": "never", "path": "/x"}]}"#,
            "unknown variant",
        ),
        (
            r#"{"hooks": [{"hookName": "prestart", "path": "x"}]}"#,
            "absolute",
        ),
        (
            r#"{"hooks": [{"hookName": "prestart", "path": "/x", "timeout": -1}]}"#,
            "timeout",
        ),
        (
            r#"{"netDevices": [{"hostInterfaceName": "a/b", "name": "c"}]}"#,
            "interface",
        ),
        (r#"{"intelRdt": {"closID": "../../etc"}}"#, "closID"),
        (r#"{"additionalGids": [-1]}"#, "invalid value"),
        (r#"{"shell": "rm"}"#, "unknown field"),
    ] {
        let said = with(edits);
        assert!(said.contains(says), "{edits}: {said}");
    }
}

#[test]
fn versions_kinds_and_names_are_checked() {
    let with = |version: &str, kind: &str, name: &str| {
        format!(
            r#"{{"cdiVersion": "{version}", "kind": "{kind}", "devices": [{{"name": "{name}"}}]}}"#
        )
    };
    let parse = |text: String| Document::parse(Path::new("x.json"), text.as_bytes());
    for good in ["0.3.0", "0.8.0", "1.0.0", "v1.1.0"] {
        assert!(parse(with(good, "v.com/c", "x")).is_ok(), "{good}");
    }
    for bad in ["2.0.0", "0.9.0", "1", "x", "1.0.0.0", ""] {
        assert!(
            matches!(parse(with(bad, "v.com/c", "x")), Err(Broken::Version(_))),
            "{bad}"
        );
    }
    for bad in ["v.com", "/c", "v.com/", "v.com/c/d", "../c"] {
        assert!(
            matches!(parse(with("1.0.0", bad, "x")), Err(Broken::Kind(_))),
            "{bad}"
        );
    }
    assert!(matches!(
        parse(with("1.0.0", "v.com/c", "a b")),
        Err(Broken::Content(_))
    ));
    let twice =
        r#"{"cdiVersion": "1.0.0", "kind": "v.com/c", "devices": [{"name": "a"}, {"name": "a"}]}"#;
    assert!(broken(twice).contains("twice"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Document::parse(Path::new("x.json"), deep.as_bytes()).is_err());
    assert!(Document::parse(Path::new("x.yaml"), deep.as_bytes()).is_err());
}

#[test]
fn a_node_that_is_none_and_a_source_that_is_gone_are_named() {
    let text = |edits: &str| {
        format!(
            r#"{{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{{"name": "x", "containerEdits": {edits}}}]}}"#
        )
    };
    for (edits, says) in [
        (
            r#"{"deviceNodes": [{"path": "/dev/no-such-node"}]}"#,
            "/dev/no-such-node",
        ),
        (
            r#"{"deviceNodes": [{"path": "/dev/x", "hostPath": "/etc"}]}"#,
            "no device node",
        ),
        (
            r#"{"deviceNodes": [{"path": "/dev/null", "type": "b"}]}"#,
            "type c",
        ),
        (
            r#"{"mounts": [{"hostPath": "/no/such", "containerPath": "/x"}]}"#,
            "/no/such",
        ),
    ] {
        let (_top, dirs) = dirs(&[(0, "v.json", &text(edits))]);
        let said = refusal(resolve(&dirs, &ask(&["v.com/c=x"])));
        assert!(
            said.contains("v.json") && said.contains(says),
            "{edits}: {said}"
        );
    }
}
