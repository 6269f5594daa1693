//! Limits that only some kernels have files for: block I/O, real time, swap, swappiness.

use std::path::{Path, PathBuf};
use testkit::{Host, kernel, requires, scenarios};

scenarios!(
    block_io_is_limited_by_device,
    block_io_is_weighed,
    real_time_is_given_to_who_asks,
    swap_is_limited,
    memory_of_version_1_has_its_own_knobs
);

fn group_file(host: &Host, container: &str, controller: &str, names: [&str; 2]) -> String {
    kernel::cgroup_file(host.pid(container), controller, names)
        .unwrap_or_else(|| panic!("no {names:?} of {container}"))
}

/// Whether a controller's hierarchy of version 1 is mounted where it is looked for.
fn version_1_has(controller: &str) -> bool {
    let own = kernel::mounts_of(std::process::id() as i32);
    let ends = format!("/{controller}");
    own.iter()
        .any(|m| m.kind == "cgroup" && m.target.ends_with(&ends))
}

fn any_version_has(controller: &str) -> bool {
    let version_2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    let name = if controller == "blkio" {
        "io"
    } else {
        controller
    };
    version_1_has(controller)
        || version_2.is_ok_and(|all| all.split_whitespace().any(|c| c == name))
}

/// A block device of the scenario's own: a file in memory, which goes with it.
struct Disk(String);

impl Disk {
    fn new(host: &Host) -> Option<Self> {
        let file = host.folder("disk").join("file");
        let made = std::fs::File::create(&file).and_then(|f| f.set_len(8 << 20));
        made.expect("a file in memory");
        let device = kernel::tool(&format!("losetup -f --show {}", file.display()));
        (!device.is_empty()).then_some(Self(device))
    }

    fn scheduler(&self) -> PathBuf {
        let name = Path::new(&self.0).file_name().expect("a name");
        Path::new("/sys/block").join(name).join("queue/scheduler")
    }

    /// Major and minor number, as control groups write them.
    fn number(&self) -> String {
        kernel::tool_ok(&format!("stat -c %Hr:%Lr {}", self.0))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::write(self.scheduler(), "none");
        kernel::tool(&format!("losetup -d {}", self.0));
    }
}

fn block_io_is_limited_by_device(host: &Host) {
    requires!(any_version_has("blkio"), "a block I/O controller");
    let disk = Disk::new(host);
    requires!(disk.is_some(), "a loop device");
    let disk = disk.expect("asked for");
    let yaml = format!(
        "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n    blkio_config:\n\
         \x20     device_read_bps: [{{path: {0}, rate: 1mb}}]\n      device_write_bps: [{{path: {0}, rate: 2mb}}]\n\
         \x20     device_read_iops: [{{path: {0}, rate: 100}}]\n      device_write_iops: [{{path: {0}, rate: 200}}]\n",
        disk.0
    );
    host.compose_file("io", &yaml).compose("up -d").ok();
    let number = disk.number();
    for (file, key, value) in [
        ("read_bps", "rbps", 1 << 20),
        ("write_bps", "wbps", 2 << 20),
        ("read_iops", "riops", 100),
        ("write_iops", "wiops", 200),
    ] {
        let old = format!("blkio.throttle.{file}_device");
        let said = group_file(host, "io-app-1", "blkio", [&old, "io.max"]);
        let line = said.lines().find(|l| l.starts_with(&format!("{number} ")));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        let (old, new) = (value.to_string(), format!("{key}={value}"));
        assert!(
            words.contains(&old.as_str()) || words.contains(&new.as_str()),
            "{said}"
        );
    }
    host.docker("rm -f io-app-1").ok();
}

fn block_io_is_weighed(host: &Host) {
    requires!(any_version_has("blkio"), "a block I/O controller");
    let disk = Disk::new(host);
    requires!(disk.is_some(), "a loop device");
    let disk = disk.expect("asked for");
    // The weights are BFQ's, and only a device that it schedules has one of its own.
    let scheduled = std::fs::write(disk.scheduler(), "bfq").is_ok();
    requires!(scheduled, "the BFQ scheduler");
    let yaml = format!(
        "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n\
         \x20   blkio_config: {{weight: 300, weight_device: [{{path: {}, weight: 400}}]}}\n",
        disk.0
    );
    host.compose_file("weight", &yaml).compose("up -d").ok();
    let file = |names| group_file(host, "weight-app-1", "blkio", names);
    let all = file(["blkio.bfq.weight", "io.bfq.weight"]);
    assert!(all.split_whitespace().any(|word| word == "300"), "{all}");
    let own = file(["blkio.bfq.weight_device", "io.bfq.weight"]);
    let line = format!("{} 400", disk.number());
    assert!(own.lines().any(|l| l == line), "{own}");
    host.docker("rm -f weight-app-1").ok();
}

fn real_time_is_given_to_who_asks(host: &Host) {
    let has = version_1_has("cpu") && Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists();
    requires!(has, "real-time groups, of control groups of version 1");
    let service =
        "    image: busybox\n    command: sleep 1000\n    init: true\n    cpu_rt_period: 100ms\n";
    let yaml = format!(
        "services:\n  one:\n{service}    cpu_rt_runtime: 1000\n  two:\n{service}    cpu_rt_runtime: 2ms\n"
    );
    let project = host.compose_file("real", &yaml);
    project.compose("up -d").ok();
    let file = |container, name| group_file(host, container, "cpu", [name, name]);
    for (container, runtime) in [("real-one-1", "1000"), ("real-two-1", "2000")] {
        assert_eq!(file(container, "cpu.rt_runtime_us"), runtime);
        assert_eq!(file(container, "cpu.rt_period_us"), "100000");
    }
    // Who has real time may ask for a real-time policy; who has none may not.
    host.docker("run -d --init --name plain busybox sleep 1000")
        .ok();
    let policy = |container: &str, pid: i32| {
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect(container);
        let group = group
            .lines()
            .find_map(|l| l.split_once(":cpu:"))
            .map(|g| g.1.to_owned());
        let group = group.unwrap_or_else(|| panic!("no cpu group of {container}"));
        let set = format!(
            "sh -c 'echo $$ > /sys/fs/cgroup/cpu{group}/cgroup.procs && chrt -f 1 echo granted'"
        );
        kernel::tool(&set)
    };
    assert_eq!(policy("one", host.pid("real-one-1")), "granted");
    assert_eq!(policy("plain", host.pid("plain")), "");
    project.compose("down").ok();
}

fn swap_is_limited(host: &Host) {
    let counted = Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists();
    requires!(counted || kernel::has_cgroup_v2(), "swap that is accounted");
    let yaml = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n    mem_limit: 32m\n    memswap_limit: 48m\n\
                \x20 without:\n    image: busybox\n    command: sleep 1000\n    init: true\n    mem_limit: 32m\n    memswap_limit: -1\n";
    host.compose_file("swap", yaml).compose("up -d").ok();
    let names = ["memory.memsw.limit_in_bytes", "memory.swap.max"];
    let limit = group_file(host, "swap-app-1", "memory", names);
    // Version 1 counts memory and swap together, version 2 swap alone.
    let (both, swap) = (48 << 20, 16 << 20);
    assert_eq!(limit, if counted { both } else { swap }.to_string());
    let none = group_file(host, "swap-without-1", "memory", names);
    let unlimited = none == "max" || none.parse::<u64>().is_ok_and(|n| n > 1 << 60);
    assert!(unlimited, "{none}");
}

fn memory_of_version_1_has_its_own_knobs(host: &Host) {
    let yaml = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n    mem_limit: 32m\n    mem_swappiness: 10\n    oom_kill_disable: true\n";
    let project = host.compose_file("knobs", yaml);
    let said = project.compose("up -d").run();
    assert_eq!(said.code, 0, "{said}");
    if !version_1_has("memory") {
        // As Docker: discarded, and told.
        said.says(&["swappiness"]);
        return;
    }
    let file = |name| group_file(host, "knobs-app-1", "memory", [name, name]);
    assert_eq!(file("memory.swappiness"), "10");
    let control = file("memory.oom_control");
    assert!(control.contains("oom_kill_disable 1"), "{control}");
}
