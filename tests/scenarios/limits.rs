//! Limits: written where the kernel reads them, and felt.

use testkit::{Host, kernel, scenarios};

scenarios!(
    limits_reach_the_control_groups,
    too_much_memory_is_an_oom_kill,
    too_many_processes_are_refused
);

fn limits_reach_the_control_groups(host: &Host) {
    host.docker("run -d --name cc -m 64m --memory-swap 96m --cpus 1.5 -c 512 --cpuset-cpus 0 --pids-limit 50 busybox sleep 1000").ok();
    let pid = host.pid("cc");
    let value = |controller: &str, names| {
        kernel::cgroup_file(pid, controller, names).unwrap_or_else(|| panic!("no {names:?}"))
    };
    assert_eq!(
        value("memory", ["memory.limit_in_bytes", "memory.max"]),
        "67108864"
    );
    let swap = kernel::cgroup_file(
        pid,
        "memory",
        ["memory.memsw.limit_in_bytes", "memory.swap.max"],
    );
    assert!(
        swap.is_none() || swap == Some("100663296".into()) || swap == Some("33554432".into()),
        "{swap:?}"
    );
    assert_eq!(value("pids", ["pids.max", "pids.max"]), "50");
    assert_eq!(value("cpuset", ["cpuset.cpus", "cpuset.cpus"]), "0");
    assert!(
        ["150000", "150000 100000"]
            .contains(&value("cpu", ["cpu.cfs_quota_us", "cpu.max"]).as_str())
    );
    assert!(["512", "59"].contains(&value("cpu", ["cpu.shares", "cpu.weight"]).as_str()));
    assert_eq!(
        host.inspect(
            "cc",
            "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"
        ),
        "67108864 1500000000 50"
    );
    host.docker("run --rm -m 1k busybox true")
        .fails(125)
        .says(&["6"]);
}

fn too_much_memory_is_an_oom_kill(host: &Host) {
    host.docker(
        "run --name cc -m 16m --memory-swap 16m busybox sh -c 'x=a; while :; do x=$x$x; done'",
    )
    .fails(137);
    assert_eq!(
        host.inspect("cc", "{{.State.OOMKilled}} {{.State.ExitCode}}"),
        "true 137"
    );
    host.docker("run --rm -m 64m busybox sh -c 'head -c 8m /dev/zero | wc -c'")
        .run()
        .says(&["8388608"]);
}

fn too_many_processes_are_refused(host: &Host) {
    let output = host.docker("run --rm --pids-limit 8 busybox sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait'").run();
    assert!(output.stderr.contains("fork"), "{output}");
}
