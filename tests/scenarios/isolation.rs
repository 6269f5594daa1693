//! What a container may and has: security options, devices by node and by name, ids of its own, control groups, another runtime,
//! the files of other images. Each is looked at where the kernel says it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use testkit::{Host, eventually, kernel, requires, scenarios};

scenarios!(
    security_options_reach_the_kernel,
    what_is_no_security_option_is_refused,
    devices_are_nodes_with_rules,
    a_cdi_device_brings_variables_mounts_nodes_and_hooks,
    gpus_are_cdi_devices,
    automatic_user_namespaces_have_ranges_of_their_own,
    another_runtime_runs_the_container,
    another_runtime_gives_terminals_and_errors,
    files_of_an_image_are_mounted,
    a_joined_ipc_namespace_shares_its_memory,
    control_groups_are_where_they_were_asked_for,
    info_tells_what_this_kernel_lets_us_do
);

fn security_options_reach_the_kernel(host: &Host) {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;
    fs::write(host.folder(".").join("profile.json"), profile).expect("a profile");
    host.docker("run -d --name cc --security-opt no-new-privileges --security-opt seccomp=profile.json --security-opt mask=/etc/passwd:/usr --security-opt unmask=/proc/sys busybox sleep 1000").ok();
    let pid = host.pid("cc");
    assert_eq!(kernel::status_field(pid, "NoNewPrivs"), "1");
    assert_eq!(kernel::status_field(pid, "Seccomp"), "2");
    fs::remove_file(host.folder(".").join("profile.json")).expect("it was there");
    host.docker("exec cc mkdir /tmp/x")
        .fails(1)
        .says(&["not implemented"]);
    host.docker("restart -t 0 cc").ok();
    let shown = host
        .docker("exec cc sh -c 'cat /etc/passwd; ls /usr; grep \" /proc/sys \" /proc/mounts'")
        .run();
    assert_eq!(shown.stdout, "", "{shown}");
    let options = host.inspect("cc", "{{json .HostConfig.SecurityOpt}}");
    assert!(options.contains("SCMP_ACT_ALLOW"), "{options}");
    assert!(
        !host
            .inspect("cc", "{{json .HostConfig.ReadonlyPaths}}")
            .contains("\"/proc/sys\"")
    );
    let open = host.docker("run --rm --security-opt seccomp=unconfined --security-opt systempaths=unconfined busybox sh -c 'grep Seccomp: /proc/self/status; grep -c \" /proc/\" /proc/mounts'");
    let open = open.run();
    assert!(open.stdout.contains("Seccomp:\t0"), "{open}");
    assert!(open.stdout.trim().ends_with("\n0"), "{open}");
}

fn what_is_no_security_option_is_refused(host: &Host) {
    for option in [
        "nonsense",
        "label=colour:red",
        "mask=etc",
        "seccomp=/no/such/profile",
    ] {
        let refused = host
            .docker(&format!("create --security-opt {option} busybox true"))
            .run();
        assert_ne!(refused.code, 0, "{refused}");
    }
    if !Path::new("/sys/module/apparmor/parameters/enabled").exists() {
        host.docker("run --rm --security-opt apparmor=strict busybox true")
            .fails(125)
            .says(&["AppArmor is not enabled"]);
    }
    host.docker(
        "run --rm --security-opt label=disable --security-opt apparmor=unconfined busybox true",
    )
    .ok();
    assert_eq!(host.docker("ps -aq").ok(), "", "nothing was made");
}

fn devices_are_nodes_with_rules(host: &Host) {
    let folder = host.folder("nodes");
    let node = |name: &str, numbers: &str| {
        let path = folder.join(name);
        kernel::tool_ok(&format!("mknod {} c {numbers}", path.display()));
        path
    };
    // kmsg: no default rule allows it, and opening it for writing needs no capability.
    let log = node("log", "1 11");
    node("zero", "1 5");
    std::os::unix::fs::symlink(&log, folder.join("link")).expect("a link");
    let try_it = "(: > /dev/k) && echo writes; (: < /dev/k) && echo reads; true";
    let only_writing = format!(
        "run --rm --device {}:/dev/k:w busybox sh -c '{try_it}'",
        folder.join("link").display()
    );
    let out = host.docker(&only_writing).run();
    assert_eq!(out.stdout, "writes\n", "{out}");
    let made = "mknod /dev/k c 1 11 && (: > /dev/k) && echo writes; true";
    let out = host
        .docker(&format!("run --rm busybox sh -c '{made}'"))
        .run();
    assert_eq!(out.stdout, "", "{out}");
    host.docker(&format!(
        "run --rm --device-cgroup-rule 'c 1:11 w' busybox sh -c '{made}'"
    ))
    .run()
    .says(&["writes"]);
    let all = host
        .docker(&format!(
            "run --rm --device {}:/dev/all busybox ls /dev/all",
            folder.display()
        ))
        .ok();
    assert_eq!(all, "log\nzero");
    host.docker("run --rm --device /dev/no-such-node busybox true")
        .fails(125)
        .says(&["/dev/no-such-node"]);
    let privileged = host
        .docker("run --rm --privileged busybox sh -c '(: > /dev/kmsg) && echo writes'")
        .run();
    assert_eq!(privileged.stdout, "writes\n", "{privileged}");
}

/// Writes a specification where it dies with the scenario.
fn specification(name: &str, json: &str) {
    fs::create_dir_all("/run/cdi").expect("a directory in the scenario's own /run");
    fs::write(Path::new("/run/cdi").join(name), json).expect("a specification");
}

fn a_cdi_device_brings_variables_mounts_nodes_and_hooks(host: &Host) {
    let shared = host.folder("vendor");
    fs::write(shared.join("lib.txt"), "a library\n").expect("a file");
    let hook = |name: &str, file: &str| {
        let path = shared.join(file);
        format!(
            r#"{{"hookName": "{name}", "path": "/bin/sh", "args": ["sh", "-c", "cat > {}"]}}"#,
            path.display()
        )
    };
    let json = format!(
        r#"{{"cdiVersion": "0.6.0", "kind": "vendor.com/device", "containerEdits": {{"env": ["VENDOR=all"]}}, "devices": [
        {{"name": "one", "containerEdits": {{"env": ["DEVICE=one"], "additionalGids": [4242],
          "deviceNodes": [{{"path": "/dev/vendor", "type": "c", "major": 1, "minor": 11, "permissions": "w"}}],
          "mounts": [{{"hostPath": "{}", "containerPath": "/opt/vendor", "options": ["ro", "bind"]}}],
          "hooks": [{}, {}]}}}}]}}"#,
        shared.display(),
        hook("createRuntime", "created"),
        hook("poststop", "stopped")
    );
    specification("vendor.json", &json);
    let project = host.compose_file(
        "cdi",
        "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    devices: [vendor.com/device=one]\n",
    );
    project.compose("up -d").ok();
    let app = project.compose("ps -q app").ok();
    let pid = host.pid(&app);
    let environment = kernel::environment(pid);
    assert_eq!(environment.get("VENDOR").map(String::as_str), Some("all"));
    assert_eq!(environment.get("DEVICE").map(String::as_str), Some("one"));
    assert_eq!(kernel::file_in(pid, "/opt/vendor/lib.txt"), "a library\n");
    let try_it = "(: > /dev/vendor) && echo writes; (: < /dev/vendor) && echo reads; (: > /opt/vendor/x) && echo made; true";
    let out = host.docker(&format!("exec {app} sh -c '{try_it}'")).run();
    assert_eq!(out.stdout, "writes\n", "{out}");
    assert!(kernel::status_field(pid, "Groups").contains("4242"));
    let told = fs::read_to_string(shared.join("created")).expect("the hook ran");
    assert!(told.contains(&app) && told.contains("\"pid\""), "{told}");
    assert!(!shared.join("stopped").exists());
    let requests = host.inspect(&app, "{{json .HostConfig.DeviceRequests}}");
    assert!(
        requests.contains("vendor.com/device=one") && requests.contains("\"cdi\""),
        "{requests}"
    );
    project.compose("down -t 0").ok();
    eventually("the last hook has run", || {
        shared.join("stopped").exists().then_some(())
    });
    host.docker("run --rm --device vendor.com/device=two busybox true")
        .fails(125)
        .says(&[
            "unresolvable CDI device vendor.com/device=two",
            "known are one",
        ]);
}

fn gpus_are_cdi_devices(host: &Host) {
    host.docker("run --rm --gpus all busybox true")
        .fails(125)
        .says(&["could not select device driver", "nvidia-ctk cdi generate"]);
    specification(
        "nvidia.yaml",
        "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- {name: '0', containerEdits: {env: [GPU0=yes]}}\n- {name: all, containerEdits: {env: [GPUS=all]}}\n",
    );
    host.docker("run --rm --gpus all busybox env")
        .run()
        .says(&["GPUS=all"]);
    host.docker("run --rm --gpus device=0 busybox env")
        .run()
        .says(&["GPU0=yes"]);
    host.docker("run --rm --gpus 2 busybox true")
        .fails(125)
        .says(&["nvidia.com/gpu=1"]);
    let project = host.compose_file(
        "gpus",
        "services:\n  app:\n    image: busybox\n    command: env\n    deploy: {resources: {reservations: {devices: [{driver: nvidia, device_ids: ['0'], capabilities: [gpu]}]}}}\n  other:\n    image: busybox\n    command: env\n    gpus: all\n",
    );
    project.compose("up -d").ok();
    eventually("both have ended and said so", || {
        let logs = project.compose("logs").run().stdout;
        (logs.contains("GPU0=yes") && logs.contains("GPUS=all")).then_some(())
    });
    project.compose("down -t 0").ok();
}

/// First id of the container's users on the host.
fn first_id(pid: i32) -> (u32, u32) {
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).expect("a map");
    let numbers: Vec<u32> = map
        .split_whitespace()
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert_eq!((numbers.len(), numbers[0]), (3, 0), "{map}");
    (numbers[1], numbers[2])
}

/// Memory's file system can be mapped since Linux 6.3, ext4 since 5.12: an image of one covers the data root, if there can be one.
fn keep_data_on_ext4(host: &Host) -> bool {
    let image = host.folder("disk").join("image");
    let file = fs::File::create(&image).expect("a file");
    file.set_len(256 << 20).expect("a file with a hole");
    let root = host.data_root();
    fs::create_dir_all(&root).expect("the data root");
    kernel::tool(&format!("mkfs.ext4 -q {}", image.display()));
    kernel::tool(&format!(
        "mount -o loop {} {}",
        image.display(),
        root.display()
    ));
    let here = i32::try_from(std::process::id()).expect("a pid");
    kernel::mounts_of(here)
        .iter()
        .any(|mount| Path::new(&mount.target) == root)
}

fn automatic_user_namespaces_have_ranges_of_their_own(host: &Host) {
    let mapped = || {
        let info = host.docker("info --format json").ok();
        info.contains(r#"{"Name":"id-mapped mounts","Chosen":"mount_setattr","Fallback":false}"#)
    };
    requires!(
        mapped() || (keep_data_on_ext4(host) && mapped()),
        "id-mapped mounts"
    );
    let project = host.compose_file(
        "mapped",
        "services:\n  one:\n    image: busybox\n    command: sh -c 'echo data > /data/made; exec sleep 1000'\n    init: true\n    userns_mode: auto\n    volumes: [kept:/data]\nvolumes:\n  kept:\n",
    );
    project.compose("up -d").ok();
    let one = project.compose("ps -q one").ok();
    host.docker("run -d --name two --userns auto:size=1000 busybox sleep 1000")
        .ok();
    let ((first, size), (second, small)) = (first_id(host.pid(&one)), first_id(host.pid("two")));
    assert_eq!((size, small), (65536, 1000));
    assert!(
        first > 0 && (first + size <= second || second + small <= first),
        "{first} {second}"
    );
    assert_eq!(
        host.inspect("two", "{{.HostConfig.UsernsMode}}"),
        "auto:size=1000"
    );
    let own = fs::metadata(format!("/proc/{}", host.pid("two"))).expect("a process");
    assert_eq!(own.uid(), second, "root inside is nobody outside");
    let inside = "id -u; stat -c %u /bin/busybox /etc/hosts /; touch /new && stat -c %u /new";
    let out = host.docker(&format!("exec two sh -c '{inside}'")).ok();
    assert_eq!(out, "0\n0\n0\n0\n0");
    let made = eventually("the volume's file", || {
        let name = host
            .docker("volume inspect --format '{{.Mountpoint}}' mapped_kept")
            .ok();
        fs::metadata(PathBuf::from(name).join("made")).ok()
    });
    assert_eq!(made.uid(), 0, "on disk a volume's ids are as everywhere");
    fs::write(host.folder(".").join("in.txt"), "hello\n").expect("a file");
    host.docker("cp in.txt two:/etc/in.txt").ok();
    assert_eq!(
        host.docker("exec two stat -c %u:%s /etc/in.txt").ok(),
        "0:6"
    );
    host.docker("cp two:/etc/in.txt out.txt").ok();
    assert_eq!(
        fs::read_to_string(host.folder(".").join("out.txt")).expect("a copy"),
        "hello\n"
    );
    for conflict in ["--privileged", "--network host", "--pid host", "--ipc host"] {
        let refused = host
            .docker(&format!("create --userns auto {conflict} busybox true"))
            .run();
        assert_ne!(refused.code, 0, "{refused}");
    }
    host.docker("rm -f two").ok();
    host.docker("run -d --name three --userns auto:size=1000 busybox sleep 1000")
        .ok();
    assert_eq!(
        first_id(host.pid("three")).0,
        second,
        "a removed container's ids are free"
    );
    host.docker("restart -t 0 three").ok();
    assert_eq!(first_id(host.pid("three")).0, second);
    project.compose("down -v -t 0").ok();
}

fn another_runtime_runs_the_container(host: &Host) {
    requires!(Path::new("/usr/sbin/runc").exists(), "runc");
    let run = "run -d --name cc --runtime runc -v kept:/etc -p 127.0.0.1:8099:80 --user daemon busybox sh -c 'trap \"exit 3\" TERM; echo started; while :; do sleep 0.1; done'";
    host.docker(run).ok();
    let pid = host.pid("cc");
    assert_ne!(
        kernel::status_field(pid, "Uid").split_whitespace().next(),
        Some("0")
    );
    assert_eq!(
        kernel::parent(pid),
        Some(host.monitor_of("cc")),
        "its end is told to the monitor"
    );
    eventually("its output is logged", || {
        host.docker("logs cc")
            .ok()
            .contains("started")
            .then_some(())
    });
    host.docker("exec cc sh -c 'cat /etc/hostname; exit 5'")
        .fails(5);
    let id = host.docker("ps -q --no-trunc").ok();
    assert!(
        fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .expect("groups")
            .contains(&id)
    );
    let ours = kernel::mounts_of(i32::try_from(std::process::id()).expect("a pid"));
    assert!(
        !ours.iter().any(|m| m.target.contains(&id)),
        "nothing is mounted where the host sees it"
    );
    host.docker("pause cc").ok();
    host.docker("unpause cc").ok();
    host.docker("restart cc").ok();
    host.docker("stop cc").ok();
    assert_eq!(
        host.inspect("cc", "{{.State.ExitCode}} {{.HostConfig.Runtime}}"),
        "3 runc"
    );
    assert!(kernel::cgroups_with(&id).is_empty());
    host.docker("rm cc").ok();
    let project = host.compose_file(
        "other",
        "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    runtime: /usr/sbin/runc\n    healthcheck: {test: [CMD, test, -e, /etc/hosts], interval: 1s}\n",
    );
    project.compose("up -d --wait").ok();
    project.compose("down -t 0").ok();
}

fn another_runtime_gives_terminals_and_errors(host: &Host) {
    requires!(Path::new("/usr/sbin/runc").exists(), "runc");
    let mut session = host
        .on_a_terminal("run --rm -it --runtime runc busybox sh")
        .start();
    session.says("/ #");
    session.write(b"tty; exit 7\n");
    let (code, text) = session.end();
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("/dev/pts/0"), "{text}");
    host.docker("run --rm --runtime runc busybox no-such-command")
        .fails(127)
        .says(&["no-such-command"]);
    for name in ["nonsense", "ls", "/no/such/runtime"] {
        host.docker(&format!("run --rm --runtime {name} busybox true"))
            .fails(125)
            .says(&["unknown or invalid runtime name"]);
    }
    host.docker("run --rm --runtime dockless busybox true").ok();
}

fn files_of_an_image_are_mounted(host: &Host) {
    requires!(host.has_image("redis:alpine"), "image redis");
    let project = host.compose_file(
        "images",
        "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n    volumes:\n      - {type: image, source: 'redis:alpine', target: /whole}\n      - {type: image, source: 'redis:alpine', target: /part, image: {subpath: usr/local/bin}}\n",
    );
    project.compose("up -d").ok();
    let app = project.compose("ps -q app").ok();
    let shown = host
        .docker(&format!(
            "exec {app} sh -c 'ls /whole/usr/local/bin/docker-entrypoint.sh /part/docker-entrypoint.sh; touch /whole/x'"
        ))
        .run();
    assert!(
        shown.stdout.contains("/part/docker-entrypoint.sh") && shown.stdout.contains("/whole/usr"),
        "{shown}"
    );
    assert!(shown.stderr.contains("Read-only file system"), "{shown}");
    let used = host.docker("rmi redis:alpine").run();
    assert_ne!(used.code, 0, "{used}");
    project.compose("down -t 0").ok();
    host.docker("run --rm --mount type=image,source=redis:alpine,target=/x,image-subpath=../../etc busybox ls /x/shadow").run();
    host.docker("run --rm --mount type=image,source=redis:alpine,target=/x,image-subpath=no/such busybox true")
        .fails(125)
        .says(&["no/such"]);
    let single = host
        .docker(
            "run --rm --mount type=image,source=busybox,target=/x,image-subpath=bin busybox ls /x",
        )
        .ok();
    assert!(single.contains("busybox"), "{single}");
}

fn a_joined_ipc_namespace_shares_its_memory(host: &Host) {
    host.docker("run -d --name aa --ipc shareable busybox sh -c 'echo seen > /dev/shm/note; exec sleep 1000'").ok();
    eventually("the note is there", || {
        let found = host
            .docker("run --rm --ipc container:aa busybox cat /dev/shm/note")
            .run();
        (found.stdout == "seen\n").then_some(())
    });
    let other = host.docker("run --rm busybox cat /dev/shm/note").run();
    assert_ne!(other.code, 0, "{other}");
}

fn control_groups_are_where_they_were_asked_for(host: &Host) {
    let parent = format!("dockless-scenario-parent-{}", std::process::id());
    host.docker(&format!(
        "run -d --name cc --cgroup-parent /{parent} --cgroupns host busybox sleep 1000"
    ))
    .ok();
    let id = host.docker("ps -q --no-trunc").ok();
    let path = format!("/{parent}/{id}");
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", host.pid("cc"))).expect("groups");
    assert!(groups.contains(&path), "{groups}");
    assert!(
        host.docker("exec cc cat /proc/self/cgroup")
            .ok()
            .contains(&path)
    );
    let own = host.docker("run --rm busybox cat /proc/self/cgroup").ok();
    assert!(!own.contains("dockless"), "{own}");
    assert_eq!(
        host.inspect(
            "cc",
            "{{.HostConfig.CgroupParent}} {{.HostConfig.CgroupnsMode}}"
        ),
        format!("/{parent} host")
    );
    host.docker("rm -f cc").ok();
    for group in kernel::cgroups_with(&parent).into_iter().rev() {
        let _ = fs::remove_dir(group);
    }
}

fn info_tells_what_this_kernel_lets_us_do(host: &Host) {
    let info = host.docker("info").ok();
    for word in [
        "control groups:",
        "layers of an overlay:",
        "id-mapped mounts:",
        "Default Runtime: dockless",
        "seccomp",
        "cgroupns",
        "/etc/cdi",
    ] {
        assert!(info.contains(word), "{word}: {info}");
    }
    let options = host
        .docker("info --format '{{json .SecurityOptions}}'")
        .ok();
    assert!(
        options.contains("name=seccomp,profile=builtin"),
        "{options}"
    );
}
