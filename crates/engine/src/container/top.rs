//! `top`: the processes of a container, read from `/proc`.
//!
//! The columns are those of `ps -ef`, which Docker runs.

use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use std::path::PathBuf;
use sys::proc_stat::Stat;

/// Titles and rows of a process table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// One process as `/proc` shows it on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub uid: u32,
    pub command: String,
    pub short_command: String,
    /// Ticks since boot.
    pub start: u64,
    /// Ticks of user and system time.
    pub time: u64,
    pub tty: i32,
    /// Bytes.
    pub rss: u64,
    pub vsz: u64,
    pub state: char,
}

/// The processes of a running container.
pub fn processes(ctx: &Context, container: &ContainerRecord) -> Result<Vec<Process>> {
    let state = State::load(ctx, container.id.as_str())?;
    let Some(run) = state.run().filter(|_| state.process().is_some()) else {
        return Err(Error::NotRunning(container.id.to_string()));
    };
    let cgroup = runtime::Cgroup::open(&run.cgroup_parent, container.id.as_str())?;
    let mut pids = cgroup.pids()?;
    pids.sort_unstable();
    Ok(of_pids(&pids))
}

/// These processes of the host; one that ends while we look is left out.
pub fn of_pids(pids: &[i32]) -> Vec<Process> {
    pids.iter().filter_map(|pid| read(*pid)).collect()
}

fn read(pid: i32) -> Option<Process> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let stat = Stat::of(pid).ok()?;
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&dir).ok()?);
    let arguments = std::fs::read(dir.join("cmdline")).unwrap_or_default();
    Some(Process {
        pid,
        parent: stat.parent,
        uid,
        command: command(&stat.name, &arguments),
        short_command: stat.name,
        start: stat.start_time,
        time: stat.time,
        tty: stat.tty,
        rss: stat.resident,
        vsz: stat.virtual_size,
        state: stat.state,
    })
}

/// The argument vector; a kernel thread has none and shows its name in brackets.
fn command(name: &str, arguments: &[u8]) -> String {
    let words: Vec<String> = arguments
        .split(|b| *b == 0)
        .filter(|w| !w.is_empty())
        .map(|w| String::from_utf8_lossy(w).into_owned())
        .collect();
    if words.is_empty() {
        format!("[{name}]")
    } else {
        words.join(" ")
    }
}

/// The table of `ps -ef`.
pub fn table(processes: &[Process]) -> Table {
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        .map(str::to_owned)
        .to_vec();
    let boot = boot_seconds();
    let row = |p: &Process| {
        vec![
            user_name(p.uid),
            p.pid.to_string(),
            p.parent.to_string(),
            "0".to_owned(),
            start_time(boot + (p.start / TICKS) as i64),
            terminal(p.tty),
            clock(p.time / TICKS),
            p.command.clone(),
        ]
    };
    Table {
        titles,
        rows: processes.iter().map(row).collect(),
    }
}

/// `USER_HZ`, fixed at 100 in the kernel's interface on every architecture we build for.
const TICKS: u64 = 100;

fn boot_seconds() -> i64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines()
        .find_map(|l| l.strip_prefix("btime "))
        .and_then(|t| t.trim().parse().ok())
        .unwrap_or(0)
}

fn start_time(seconds: i64) -> String {
    let zone = jiff::tz::TimeZone::system();
    match jiff::Timestamp::from_second(seconds) {
        Ok(stamp) => stamp.to_zoned(zone).strftime("%H:%M").to_string(),
        Err(_) => "?".to_owned(),
    }
}

fn terminal(device: i32) -> String {
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xfff00),
    );
    match major {
        0 => "?".to_owned(),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 => format!("tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

fn clock(seconds: u64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// The host's name for a user id, as `ps` on the host shows it.
fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut names = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    names.next().unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_shown_with_its_arguments() {
        let own = read(std::process::id() as i32).unwrap();
        assert!(own.command.contains("engine") && own.rss > 0);
        assert!(read(i32::MAX).is_none());
        let row = &table(&[own]).rows[0];
        assert_eq!(row.len(), 8);
        assert_eq!(row[1], std::process::id().to_string());
    }

    #[test]
    fn columns_are_those_of_ps() {
        assert_eq!(command("sh", b"sh\0-c\0sleep 1\0"), "sh -c sleep 1");
        assert_eq!(command("kthreadd", b""), "[kthreadd]");
        assert_eq!(terminal(34816), "pts/0");
        assert_eq!(terminal(0), "?");
        assert_eq!(clock(3725), "01:02:05");
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(4_000_000_000), "4000000000");
    }
}
