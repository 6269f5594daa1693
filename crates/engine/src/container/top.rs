//! `top`: the processes of a container, read from `/proc`.
//!
//! Source: proc_pid_stat(5); the columns are those of `ps -ef`, which Docker runs.

use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use std::path::PathBuf;

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
    // One that ends while we look is left out.
    Ok(pids.into_iter().filter_map(read).collect())
}

fn read(pid: i32) -> Option<Process> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let stat = std::fs::read_to_string(dir.join("stat")).ok()?;
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&dir).ok()?);
    let arguments = std::fs::read(dir.join("cmdline")).unwrap_or_default();
    parse(pid, uid, &stat, &arguments)
}

fn parse(pid: i32, uid: u32, stat: &str, arguments: &[u8]) -> Option<Process> {
    // The name stands in parentheses and may itself hold parentheses and blanks.
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let name = stat.get(open + 1..close)?;
    let fields: Vec<&str> = stat.get(close + 1..)?.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok());
    let words: Vec<String> = arguments
        .split(|b| *b == 0)
        .filter(|w| !w.is_empty())
        .map(|w| String::from_utf8_lossy(w).into_owned())
        .collect();
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        uid,
        command: if words.is_empty() {
            format!("[{name}]")
        } else {
            words.join(" ")
        },
        short_command: name.to_owned(),
        start: number(19)?,
        time: number(11)? + number(12)?,
        tty: fields.get(4)?.parse().ok()?,
        rss: number(21)? * 4096,
        vsz: number(20)?,
        state: fields.first()?.chars().next()?,
    })
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
    fn a_name_with_parentheses_and_blanks_is_read_right() {
        let stat = "42 (a) b (c)) S 1 42 42 34816 42 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1000 8192 3 18446744073709551615";
        let process = parse(42, 0, stat, b"sh\0-c\0sleep 1\0").unwrap();
        assert_eq!(
            (process.parent, process.start, process.time, process.rss),
            (1, 1000, 200, 3 * 4096)
        );
        assert_eq!(process.command, "sh -c sleep 1");
        assert_eq!(process.short_command, "a) b (c)");
        assert_eq!(terminal(process.tty), "pts/0");
        assert!(parse(1, 0, "garbage", b"").is_none());
    }
}
