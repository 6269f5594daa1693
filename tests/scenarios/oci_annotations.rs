//! Annotations of a configuration that mean something to the runtime: crun's, which configurations written for it may carry.

use crate::oci::Bench;
use serde_json::json;
use testkit::{Call, Host, scenarios};

scenarios!(
    groups_of_the_caller_are_kept_on_request,
    hooks_write_where_they_are_told,
    a_misspelt_system_call_is_an_error_on_request,
);

fn groups_of_the_caller_are_kept_on_request(host: &Host) {
    let bench = Bench::new(host);
    let groups = |annotated: bool, id: &str| {
        bench.configure(&["id", "-G"], |config| {
            config["process"]["user"] = json!({"uid": 7, "gid": 8, "additionalGids": [9]});
            if annotated {
                config["annotations"] = json!({"run.oci.keep_original_groups": "1"});
            }
        });
        let line = bench.runc_line(&format!("run {id}"));
        let said = Call::tool("setpriv".as_ref(), "--groups 41,42")
            .arg("sh")
            .arg("-c")
            .arg(line)
            .dir(&bench.bundle)
            .ok();
        let mut groups: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        groups.sort();
        groups.dedup();
        groups.join(" ")
    };
    assert_eq!(groups(false, "keeps-none"), "8 9");
    assert_eq!(groups(true, "keeps-them"), "41 42 8 9");
}

fn hooks_write_where_they_are_told(host: &Host) {
    let bench = Bench::new(host);
    let (out, err) = (
        bench.bundle.join("hooks.out"),
        bench.bundle.join("hooks.err"),
    );
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "cat >/dev/null; echo said; echo failed >&2"]}]);
    bench.configure(&["true"], |config| {
        config["hooks"] = json!({"createRuntime": hook, "poststart": hook, "poststop": hook});
        config["annotations"] = json!({"run.oci.hooks.stdout": out, "run.oci.hooks.stderr": err});
    });
    bench.runc("run has-files").ok();
    let read = |path| std::fs::read_to_string(path).expect("a file");
    assert_eq!(read(&out), "said\n".repeat(3));
    assert_eq!(read(&err), "failed\n".repeat(3));
    // A file that cannot be had ends the making of the container.
    bench.configure(&["true"], |config| {
        config["hooks"] = json!({"createRuntime": hook});
        config["annotations"] = json!({"run.oci.hooks.stdout": bench.bundle});
    });
    bench
        .runc("run has-none")
        .fails(1)
        .says(&["cannot open", "createRuntime hooks"]);
    assert_eq!(bench.runc("list -q").ok(), "");
    let features: serde_json::Value =
        serde_json::from_str(&bench.runc("features").ok()).expect("JSON");
    assert_eq!(
        features["potentiallyUnsafeConfigAnnotations"],
        json!(["run.oci."])
    );
}

fn a_misspelt_system_call_is_an_error_on_request(host: &Host) {
    let bench = Bench::new(host);
    let configure = |annotations: serde_json::Value| {
        bench.configure(&["echo", "ran"], |config| {
            config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdirrr"], "action": "SCMP_ACT_ERRNO"}]});
            config["annotations"] = annotations;
        });
    };
    configure(json!({}));
    assert_eq!(bench.runc("run lenient").ok(), "ran");
    configure(json!({"run.oci.seccomp_fail_unknown_syscall": "1"}));
    bench.runc("run strict").fails(1).says(&["mkdirrr"]);
}
