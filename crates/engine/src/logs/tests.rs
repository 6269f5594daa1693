//! What the monitor writes is what `logs` reads: over rotation, over both formats, as it comes.

use super::*;
use crate::container::record::{ImageRecord, ProcessRecord};
use crate::context::Options;
use crate::timestamp::Timestamp;
use model::container::ContainerSpec;
use std::collections::BTreeMap;

struct Bench {
    _dir: tempfile::TempDir,
    ctx: Context,
    container: ContainerRecord,
}

fn bench(options: &[(&str, &str)], driver: LogDriver) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let ctx = Context::open(&Options {
        data_root: Some(dir.path().join("data")),
        run_root: Some(dir.path().join("run")),
        config: Some(dir.path().join("none")),
        ..Default::default()
    })
    .unwrap();
    let log = LogConfig {
        driver,
        options: options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    };
    let container = ContainerRecord {
        id: crate::random_id(),
        name: "web".into(),
        created: Timestamp::now(),
        spec: ContainerSpec {
            log,
            ..Default::default()
        },
        image: ImageRecord::default(),
        process: ProcessRecord::default(),
        mounts: Vec::new(),
        hostname: "web".into(),
        labels: BTreeMap::new(),
        stop_signal: "SIGTERM".into(),
        healthcheck: None,
        exposed: Vec::new(),
        runtime: None,
        userns: None,
        quota: None,
    };
    Bench {
        _dir: dir,
        ctx,
        container,
    }
}

impl Bench {
    fn writer(&self) -> Writer {
        let settings = Settings::parse(&self.container.spec.log).unwrap();
        Writer::open(&directory(&self.ctx, &self.container), settings).unwrap()
    }

    fn lines(&self, query: Query) -> Vec<String> {
        let mut reader = Reader::open(&self.ctx, &self.container, query).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(String::from_utf8(line.bytes).unwrap());
        }
        lines
    }
}

#[test]
fn lines_are_put_together_over_reads_and_kept_apart_by_stream() {
    for driver in [LogDriver::Local, LogDriver::JsonFile] {
        let bench = bench(&[], driver);
        let mut writer = bench.writer();
        writer.write(Stream::Stdout, b"one\ntw").unwrap();
        writer.write(Stream::Stderr, b"oops\n").unwrap();
        writer.write(Stream::Stdout, b"o\nlast").unwrap();
        writer.finish().unwrap();
        let mut lines = bench.lines(Query::default());
        lines.sort();
        assert_eq!(lines, ["last", "one\n", "oops\n", "two\n"], "{driver:?}");
    }
}

#[test]
fn rotation_keeps_the_newest_files_and_the_order() {
    for driver in [LogDriver::Local, LogDriver::JsonFile] {
        let bench = bench(&[("max-size", "4096"), ("max-file", "3")], driver);
        let mut writer = bench.writer();
        for number in 0..2000 {
            writer
                .write(Stream::Stdout, format!("line {number}\n").as_bytes())
                .unwrap();
        }
        let files = std::fs::read_dir(directory(&bench.ctx, &bench.container))
            .unwrap()
            .count();
        assert_eq!(files, 3, "{driver:?}");
        let lines = bench.lines(Query::default());
        assert_eq!(lines.last().unwrap(), "line 1999\n");
        let first: usize = lines[0]
            .trim()
            .strip_prefix("line ")
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(
            lines.len(),
            2000 - first,
            "nothing is missing in between ({driver:?})"
        );
        assert_eq!(
            bench.lines(Query {
                tail: Some(2),
                ..Default::default()
            }),
            ["line 1998\n", "line 1999\n"]
        );
    }
}

#[test]
fn a_follower_reads_over_rotation_without_a_gap() {
    let bench = bench(&[("max-size", "4096"), ("max-file", "3")], LogDriver::Local);
    let mut writer = bench.writer();
    let mut reader = Reader::open(
        &bench.ctx,
        &bench.container,
        Query {
            follow: true,
            ..Default::default()
        },
    )
    .unwrap();
    let mut seen = Vec::new();
    for number in 0..1000 {
        writer
            .write(Stream::Stdout, format!("line {number}\n").as_bytes())
            .unwrap();
        if number % 7 == 0 {
            while let Some(line) = reader.try_next().unwrap() {
                seen.push(line.bytes);
            }
        }
    }
    // The container does not run: the follower drains and ends.
    while let Some(line) = reader.next_line().unwrap() {
        seen.push(line.bytes);
    }
    let wanted: Vec<Vec<u8>> = (0..1000)
        .map(|n| format!("line {n}\n").into_bytes())
        .collect();
    assert_eq!(seen, wanted);
}

/// Followers of a log whose writer is `late` files ahead before they read again; what they saw, and how many files they missed.
fn fall_behind(driver: LogDriver, late: u32) -> (Vec<String>, u64) {
    let bench = bench(&[("max-size", "4096"), ("max-file", "2")], driver);
    let mut writer = bench.writer();
    let query = Query {
        follow: true,
        ..Default::default()
    };
    writer.write(Stream::Stdout, b"first\n").unwrap();
    let mut reader = Reader::open(&bench.ctx, &bench.container, query).unwrap();
    let first = reader.try_next().unwrap().unwrap();
    let mut seen = vec![String::from_utf8(first.bytes).unwrap()];
    let long = "x".repeat(4080);
    for file in 0..late {
        let text = format!("{file} {long}\n");
        writer.write(Stream::Stdout, text.as_bytes()).unwrap();
    }
    while let Some(line) = reader.next_line().unwrap() {
        let text = String::from_utf8(line.bytes).unwrap();
        seen.push(text.split(' ').next().unwrap().to_owned());
    }
    (seen, reader.take_lost())
}

#[test]
fn a_follower_holds_its_file_and_counts_those_it_missed() {
    for driver in [LogDriver::Local, LogDriver::JsonFile] {
        assert_eq!(
            fall_behind(driver, 1),
            (vec!["first\n".into(), "0".into()], 0)
        );
        // Its own file is gone from the directory by now, and the next two are there.
        let two = ["first\n", "0", "1"].map(str::to_owned).to_vec();
        assert_eq!(fall_behind(driver, 2), (two, 0), "{driver:?}");
        let (seen, lost) = fall_behind(driver, 5);
        assert_eq!(seen, ["first\n", "3", "4"], "{driver:?}");
        assert_eq!(lost, 3, "{driver:?}");
    }
}

#[test]
fn a_slow_follower_holds_open_what_it_has_not_read() {
    let options = [("max-size", "4096"), ("max-file", "2")];
    let bench = bench(&options, LogDriver::Local);
    let mut writer = bench.writer();
    let query = Query {
        follow: true,
        ..Default::default()
    };
    let wanted: Vec<String> = (0..4000).map(|n| format!("line {n}\n")).collect();
    let mut reader = Reader::open(&bench.ctx, &bench.container, query).unwrap();
    let mut seen = Vec::new();
    for (number, line) in wanted.iter().enumerate() {
        writer.write(Stream::Stdout, line.as_bytes()).unwrap();
        // Half as fast as the writer: in the end ten and more files are behind.
        if number % 2 == 0
            && let Some(line) = reader.try_next().unwrap()
        {
            seen.push(String::from_utf8(line.bytes).unwrap());
        }
    }
    while let Some(line) = reader.next_line().unwrap() {
        seen.push(String::from_utf8(line.bytes).unwrap());
    }
    assert_eq!(seen, wanted);
    assert_eq!(reader.take_lost(), 0);
}

#[test]
fn damage_is_an_error_and_an_unfinished_frame_is_the_end() {
    let bench = bench(&[], LogDriver::Local);
    bench.writer().write(Stream::Stdout, b"whole\n").unwrap();
    let path = directory(&bench.ctx, &bench.container).join("current.log");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], &whole[..10]].concat()).unwrap();
    assert_eq!(bench.lines(Query::default()), ["whole\n"]);
    std::fs::write(&path, [&whole[..], &[0xff; 64]].concat()).unwrap();
    let mut reader = Reader::open(&bench.ctx, &bench.container, Query::default()).unwrap();
    assert!(reader.next_line().unwrap().is_some());
    assert!(reader.next_line().is_err());
}

#[test]
fn since_and_until_bound_the_lines() {
    let bench = bench(&[], LogDriver::Local);
    let mut writer = bench.writer();
    writer.write(Stream::Stdout, b"early\n").unwrap();
    let between = Timestamp::now();
    writer.write(Stream::Stdout, b"late\n").unwrap();
    assert_eq!(
        bench.lines(Query {
            since: Some(between),
            ..Default::default()
        }),
        ["late\n"]
    );
    assert_eq!(
        bench.lines(Query {
            until: Some(between),
            ..Default::default()
        }),
        ["early\n"]
    );
}

#[test]
fn unknown_options_are_refused_by_name() {
    let bad = LogConfig {
        driver: LogDriver::Local,
        options: BTreeMap::from([("max-siez".to_owned(), "1m".to_owned())]),
    };
    assert!(
        Settings::parse(&bad)
            .unwrap_err()
            .to_string()
            .contains("max-siez")
    );
}

#[test]
fn what_a_killed_writer_left_unfinished_is_cut_off() {
    for driver in [LogDriver::Local, LogDriver::JsonFile] {
        let bench = bench(&[], driver);
        let mut writer = bench.writer();
        writer.write(Stream::Stdout, b"before\n").unwrap();
        drop(writer);
        let path = directory(&bench.ctx, &bench.container).join("current.log");
        let whole = std::fs::read(&path).unwrap();
        let torn = [&whole[..], &whole[..whole.len() - 3]].concat();
        std::fs::write(&path, torn).unwrap();
        let mut writer = bench.writer();
        writer.repair().unwrap();
        writer.write(Stream::Stdout, b"after\n").unwrap();
        let mut reader = Reader::open(&bench.ctx, &bench.container, Query::default()).unwrap();
        let lines: Vec<Vec<u8>> = std::iter::from_fn(|| reader.next_line().unwrap())
            .map(|l| l.bytes)
            .collect();
        assert_eq!(lines, [b"before\n".to_vec(), b"after\n".to_vec()]);
    }
}

#[test]
fn zeros_of_a_power_cut_are_cut_off() {
    let bench = bench(&[], LogDriver::Local);
    let mut writer = bench.writer();
    writer.write(Stream::Stderr, b"kept\n").unwrap();
    let path = directory(&bench.ctx, &bench.container).join("current.log");
    let before = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_len(before + 4096)
        .unwrap();
    let mut writer = bench.writer();
    writer.repair().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
    writer.repair().unwrap();
}

#[test]
fn a_container_that_says_nothing_has_no_log_and_one_that_speaks_late_is_heard() {
    let bench = bench(&[], LogDriver::Local);
    let mut writer = bench.writer();
    writer.repair().unwrap();
    assert!(!directory(&bench.ctx, &bench.container).exists());
    assert!(bench.lines(Query::default()).is_empty());
    writer.write(Stream::Stdout, b"late\n").unwrap();
    assert_eq!(bench.lines(Query::default()), ["late\n"]);
}
