//! The keys of a job: those of a service, but for what manages the life of one that goes on, and `triggers`.

use super::Shape::{self, Bool, List, OneOf, Text};
use super::{Record, SERVICE};

/// What only a service has; of the spellings of earlier versions jobs know none.
const SERVICE_ONLY: [&str; 18] = [
    "attach",
    "container_name",
    "deploy",
    "develop",
    "extends",
    "external_links",
    "links",
    "post_start",
    "pre_start",
    "pre_stop",
    "provider",
    "restart",
    "scale",
    "dockerfile",
    "log_driver",
    "log_opt",
    "net",
    "volume_driver",
];

type Key = (&'static str, &'static Shape);

const COUNT: usize = SERVICE.keys.len() - SERVICE_ONLY.len() + 1;

static KEYS: [Key; COUNT] = keys();

pub(crate) static JOB: Record = Record {
    name: "a job",
    keys: &KEYS,
};

const ITS_TRIGGERS: &Shape = &Shape::Record(&TRIGGERS);

const fn keys() -> [Key; COUNT] {
    let mut keys: [Key; COUNT] = [("triggers", ITS_TRIGGERS); COUNT];
    let (mut from, mut to) = (0, 1);
    while from < SERVICE.keys.len() {
        if !is_of_services_only(SERVICE.keys[from].0) {
            keys[to] = SERVICE.keys[from];
            to += 1;
        }
        from += 1;
    }
    // One that no service has would leave a place of the array as it was.
    assert!(to == COUNT);
    keys
}

const fn is_of_services_only(key: &str) -> bool {
    let mut at = 0;
    while at < SERVICE_ONLY.len() {
        if same(SERVICE_ONLY[at].as_bytes(), key.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

pub(crate) static TRIGGERS: Record = Record {
    name: "the triggers of a job",
    keys: &[
        ("manual", &Bool),
        (
            "schedule",
            &OneOf(&[&List(&OneOf(&[&Text, &Shape::Record(&SCHEDULE)])), &Text]),
        ),
    ],
};

pub(crate) static SCHEDULE: Record = Record {
    name: "a schedule",
    keys: &[
        ("cron", &Text),
        ("timezone", &Text),
        ("concurrency", &Text),
        ("missed_fires", &Text),
    ],
};
