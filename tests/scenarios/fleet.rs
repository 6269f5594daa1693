//! Many at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    fifty_containers_started_eight_at_a_time,
    a_monitor_at_rest_holds_little_and_still_serves
);

fn fifty_containers_started_eight_at_a_time(host: &Host) {
    const ALL: usize = 50;
    host.docker("pull busybox").ok();
    host.docker("network create fleet").ok();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= ALL {
                        return;
                    }
                    host.docker(&format!(
                        "run -d --name c{n} --network fleet -p 80 busybox sleep 1000"
                    ))
                    .ok();
                }
            });
        }
    });
    assert_eq!(host.docker("ps -q").ok().lines().count(), ALL);
    let pids: Vec<i32> = (0..ALL).map(|n| host.pid(&format!("c{n}"))).collect();
    let addresses: BTreeSet<String> = pids
        .iter()
        .flat_map(|pid| kernel::addresses_in(*pid))
        .collect();
    assert_eq!(
        addresses.len(),
        ALL,
        "distinct addresses, as the kernel says"
    );
    let ports: BTreeSet<String> = (0..ALL)
        .map(|n| {
            host.docker(&format!("port c{n} 80/tcp"))
                .ok()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(ports.len(), ALL, "distinct ports");
    host.docker("exec c0 nslookup c49 127.0.0.11").ok();

    let names: Vec<String> = (0..ALL).map(|n| format!("c{n}")).collect();
    host.docker(&format!("rm -f {}", names.join(" "))).ok();
    assert!(pids.iter().all(|pid| !kernel::lives(*pid)));
    eventually("no process stays", || {
        host.processes().is_empty().then_some(())
    });
    assert_eq!(host.docker("ps -aq").ok(), "");
    host.docker("network rm fleet").ok();
}

fn a_monitor_at_rest_holds_little_and_still_serves(host: &Host) {
    host.docker("run -d --name quiet busybox sh -c 'read line </dev/null; sleep 1000'")
        .ok();
    let monitor = host.monitor_of("quiet");
    let rests = || {
        let own = kernel::memory(monitor, "Private_Dirty");
        let file = kernel::memory(monitor, "Pss_File");
        (own < 160 << 10 && file < 1 << 20).then_some(())
    };
    eventually("the monitor gives its memory back", rests);
    host.docker("exec quiet sh -c 'echo said >/proc/1/fd/1'")
        .ok();
    eventually("what was written after it is in the log", || {
        (host.docker("logs quiet").ok() == "said").then_some(())
    });
    host.docker("pause quiet").ok();
    host.docker("unpause quiet").ok();
    eventually("and gives it back again", rests);
    host.docker("stop -t 0 quiet").ok();
    eventually("it ends when all is deleted", || {
        (!kernel::lives(monitor)).then_some(())
    });
}
