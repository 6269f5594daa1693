//! Device rules: from a spec's words to a list in which the last match decides, and to what v1 can hold.
//!
//! v1 keeps one default and a list of exceptions to it, not an order: a refusal inside a wider permission has no place there and is
//! an error, for the kernel would take it without a word and change nothing.
//! Source: runtime-spec `config-linux.md` "Allowed Device list"; kernel `cgroup-v1/devices.rst`; Docker's default rules.

use crate::cgroup::Error;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};
use sys::bpf::{DeviceKind, DeviceRule};

const READ: u8 = 2;
const WRITE: u8 = 4;
const MKNOD: u8 = 1;
const ALL: u8 = READ | WRITE | MKNOD;

const fn rule(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: u8) -> DeviceRule {
    DeviceRule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access,
    }
}

/// Docker's: making any node is allowed, using only these.
pub(super) const DEFAULT_RULES: [DeviceRule; 11] = [
    rule(DeviceKind::Char, None, None, MKNOD),
    rule(DeviceKind::Block, None, None, MKNOD),
    rule(DeviceKind::Char, Some(1), Some(3), ALL),
    rule(DeviceKind::Char, Some(1), Some(5), ALL),
    rule(DeviceKind::Char, Some(1), Some(7), ALL),
    rule(DeviceKind::Char, Some(1), Some(8), ALL),
    rule(DeviceKind::Char, Some(1), Some(9), ALL),
    rule(DeviceKind::Char, Some(5), Some(0), ALL),
    rule(DeviceKind::Char, Some(5), Some(1), ALL),
    rule(DeviceKind::Char, Some(5), Some(2), ALL),
    rule(DeviceKind::Char, Some(136), None, ALL),
];

/// Rules of a spec beyond the default ones. An empty list, or the usual "deny all" alone, is the default.
fn own_rules(resources: &LinuxResources) -> Vec<&LinuxDeviceCgroup> {
    let rules = resources.devices().as_deref().unwrap_or_default();
    rules
        .iter()
        .filter(|rule| rule.allow() && !is_default(rule))
        .collect()
}

fn is_default(rule: &LinuxDeviceCgroup) -> bool {
    convert(rule).is_ok_and(|rule| DEFAULT_RULES.contains(&rule))
}

/// Whether the engine's spec asks for more than the default rules, or for less.
pub(in crate::cgroup) fn differs(resources: &LinuxResources) -> bool {
    !own_rules(resources).is_empty() || resources.devices().iter().flatten().any(is_partial_deny)
}

/// A "deny" that is not the opening "deny everything".
fn is_partial_deny(rule: &LinuxDeviceCgroup) -> bool {
    !rule.allow() && (rule.major().is_some() || rule.minor().is_some())
}

fn convert(rule: &LinuxDeviceCgroup) -> Result<DeviceRule, Error> {
    let wrong = |why: &str| Error::DeviceRule {
        rule: tell(rule),
        why: why.to_owned(),
    };
    // A negative number stands for all of them.
    let number = |n: Option<i64>| match n.filter(|n| *n >= 0) {
        Some(n) => u32::try_from(n)
            .map(Some)
            .map_err(|_| wrong("no such device number")),
        None => Ok(None),
    };
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(DeviceKind::Block),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(DeviceKind::Char),
        Some(LinuxDeviceType::P) => return Err(wrong("pipes are no devices")),
    };
    let mut access = 0;
    for letter in rule.access().as_deref().unwrap_or("rwm").chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => return Err(wrong("access is made of r, w and m")),
        };
    }
    Ok(DeviceRule {
        allow: rule.allow(),
        kind,
        major: number(rule.major())?,
        minor: number(rule.minor())?,
        access,
    })
}

fn tell(rule: &LinuxDeviceCgroup) -> String {
    let number = |n: Option<i64>| n.map_or("*".to_owned(), |n| n.to_string());
    format!(
        "{} {} {}:{} {}",
        if rule.allow() { "allow" } else { "deny" },
        rule.typ().unwrap_or(LinuxDeviceType::A).as_str(),
        number(rule.major()),
        number(rule.minor()),
        rule.access().as_deref().unwrap_or("rwm")
    )
}

/// All rules of an engine's container, in order; the last that matches decides.
pub(super) fn of_engine(resources: &LinuxResources) -> Result<Vec<DeviceRule>, Error> {
    let mut rules = DEFAULT_RULES.to_vec();
    for rule in resources.devices().iter().flatten() {
        rules.push(convert(rule)?);
    }
    // An opening "deny everything" is where we start anyway; after the default rules it would undo them.
    let opening = |rule: &DeviceRule| {
        !rule.allow && rule.kind.is_none() && rule.major.is_none() && rule.minor.is_none()
    };
    rules.retain(|rule| !opening(rule));
    Ok(rules)
}

/// The rules of an OCI configuration: its own in order, then the default ones, without which no program runs. What is in neither is
/// refused.
pub(super) fn of_spec(resources: &LinuxResources) -> Result<Vec<DeviceRule>, Error> {
    let own = resources.devices().iter().flatten().map(convert);
    own.chain(DEFAULT_RULES.map(Ok)).collect()
}

/// What a v1 group holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cgroup) struct List {
    /// Whether everything is allowed but the exceptions, or refused but the exceptions.
    pub(in crate::cgroup) allows: bool,
    pub(in crate::cgroup) exceptions: Vec<Exception>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cgroup) struct Exception {
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
}

/// Which numbers an exception is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cgroup) enum Target {
    One(u32, u32),
    Major(u32),
    /// The same minor of every major.
    Minor,
    All,
}

impl Exception {
    pub(in crate::cgroup) fn target(&self) -> Target {
        match (self.major, self.minor) {
            (Some(major), Some(minor)) => Target::One(major, minor),
            (Some(major), None) => Target::Major(major),
            (None, Some(_)) => Target::Minor,
            (None, None) => Target::All,
        }
    }

    pub(in crate::cgroup) fn kind_name(&self) -> &'static str {
        match self.kind {
            DeviceKind::Block => "block",
            DeviceKind::Char => "char",
        }
    }

    /// `rwm`, or a part of it.
    pub(in crate::cgroup) fn access(&self) -> String {
        [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
            .iter()
            .filter(|(bit, _)| self.access & bit != 0)
            .map(|(_, c)| c)
            .collect()
    }

    fn covers(&self, other: &Self) -> bool {
        let wide = |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || mine == theirs;
        self.kind == other.kind && wide(self.major, other.major) && wide(self.minor, other.minor)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meet = |mine: Option<u32>, theirs: Option<u32>| {
            mine.is_none() || theirs.is_none() || mine == theirs
        };
        self.kind == other.kind && meet(self.major, other.major) && meet(self.minor, other.minor)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let kind = match words.next()? {
            "b" => DeviceKind::Block,
            "c" => DeviceKind::Char,
            _ => return None,
        };
        let (major, minor) = words.next()?.split_once(':')?;
        let number = |text: &str| match text {
            "*" => Some(None),
            number => number.parse().ok().map(Some),
        };
        let bit = |letter| match letter {
            'r' => READ,
            'w' => WRITE,
            _ => MKNOD,
        };
        Some(Self {
            kind,
            major: number(major)?,
            minor: number(minor)?,
            access: words.next()?.chars().map(bit).sum(),
        })
    }

    /// As `devices.allow` and `devices.deny` take it.
    pub(super) fn line(&self) -> String {
        let kind = match self.kind {
            DeviceKind::Block => 'b',
            DeviceKind::Char => 'c',
        };
        let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        format!(
            "{kind} {}:{} {}",
            number(self.major),
            number(self.minor),
            self.access()
        )
    }
}

impl List {
    /// Plays the rules one after the other.
    pub(super) fn of(rules: &[DeviceRule]) -> Result<Self, Error> {
        let mut list = Self {
            allows: false,
            exceptions: Vec::new(),
        };
        for rule in rules {
            let everything = rule.kind.is_none() && rule.major.is_none() && rule.minor.is_none();
            if everything && rule.access == ALL {
                list.allows = rule.allow;
                list.exceptions.clear();
                continue;
            }
            let kinds = [DeviceKind::Block, DeviceKind::Char];
            for kind in kinds
                .into_iter()
                .filter(|k| rule.kind.is_none_or(|kind| kind == *k))
            {
                list.play(
                    rule.allow,
                    Exception {
                        kind,
                        major: rule.major,
                        minor: rule.minor,
                        access: rule.access,
                    },
                )?;
            }
        }
        list.exceptions.retain(|exception| exception.access != 0);
        Ok(list)
    }

    /// What `devices.list` shows.
    pub(in crate::cgroup) fn parse(text: &str) -> Option<Self> {
        let mut list = Self {
            allows: text.starts_with('a'),
            exceptions: Vec::new(),
        };
        for line in text.lines().filter(|_| !text.starts_with('a')) {
            list.exceptions.push(Exception::parse(line)?);
        }
        Some(list)
    }

    /// The lines that lead from one list of permissions to another, first those to allow, then those to deny, so that nothing that
    /// is in both fails meanwhile.
    pub(super) fn changes(&self, new: &Self) -> (Vec<String>, Vec<String>) {
        let rights = |list: &Self, of: &Exception| {
            let same = |e: &&Exception| (e.kind, e.major, e.minor) == (of.kind, of.major, of.minor);
            list.exceptions.iter().find(same).map_or(0, |e| e.access)
        };
        let beyond = |mine: &Self, theirs: &Self| {
            let left = mine.exceptions.iter().map(|exception| Exception {
                access: exception.access & !rights(theirs, exception),
                ..*exception
            });
            left.filter(|left| left.access != 0)
                .map(|left| left.line())
                .collect()
        };
        (beyond(new, self), beyond(self, new))
    }

    /// As rules of which the last that matches decides.
    pub(super) fn rules(&self) -> Vec<DeviceRule> {
        let everything = DeviceRule {
            allow: self.allows,
            kind: None,
            major: None,
            minor: None,
            access: ALL,
        };
        let exceptions = self.exceptions.iter().map(|exception| DeviceRule {
            allow: !self.allows,
            kind: Some(exception.kind),
            major: exception.major,
            minor: exception.minor,
            access: exception.access,
        });
        std::iter::once(everything).chain(exceptions).collect()
    }

    fn play(&mut self, allow: bool, rule: Exception) -> Result<(), Error> {
        if allow != self.allows {
            self.add(rule);
            return Ok(());
        }
        // The rule takes from the exceptions: whole ones, or rights of them, never a part of their numbers.
        for known in &mut self.exceptions {
            if rule.covers(known) {
                known.access &= !rule.access;
            } else if known.overlaps(&rule) && known.access & rule.access != 0 {
                let verb = if allow { "allow" } else { "deny" };
                return Err(Error::DeviceRule {
                    rule: format!("{verb} {}", rule.line()),
                    why: format!(
                        "cgroup v1 cannot make an exception of {:?} before it",
                        known.line()
                    ),
                });
            }
        }
        Ok(())
    }

    fn add(&mut self, rule: Exception) {
        let same = |known: &&mut Exception| {
            (known.kind, known.major, known.minor) == (rule.kind, rule.major, rule.minor)
        };
        match self.exceptions.iter_mut().find(same) {
            Some(known) => known.access |= rule.access,
            None => self.exceptions.push(rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: serde_json::Value) -> Result<Vec<DeviceRule>, Error> {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_value(json).unwrap();
        rules.iter().map(convert).collect()
    }

    fn list(json: serde_json::Value) -> Result<(bool, Vec<String>), Error> {
        let list = List::of(&rules(json)?)?;
        Ok((
            list.allows,
            list.exceptions.iter().map(Exception::line).collect(),
        ))
    }

    #[test]
    fn permissions_add_up_and_refusals_take_away() {
        let (allows, lines) = list(serde_json::json!([
            {"allow": true, "access": "rwm"},
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"},
            {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "w"},
            {"allow": true, "type": "b", "major": 8, "minor": -1, "access": "rwm"},
            {"allow": false, "type": "b", "major": 8, "access": "m"},
            {"allow": true, "type": "c", "major": 5, "minor": 1},
            {"allow": false, "type": "c", "major": 5},
        ]))
        .unwrap();
        assert!(!allows);
        assert_eq!(lines, ["c 1:3 rw", "b 8:* rw"]);
    }

    #[test]
    fn a_hole_in_a_wildcard_is_told() {
        let hole = serde_json::json!([
            {"allow": true, "type": "b", "major": 8, "access": "rw"},
            {"allow": false, "type": "b", "major": 8, "minor": 1, "access": "r"},
        ]);
        let error = list(hole).unwrap_err();
        assert!(error.to_string().contains("deny b 8:1 r"), "{error}");
        let other_right = serde_json::json!([
            {"allow": true, "type": "b", "major": 8, "access": "rw"},
            {"allow": false, "type": "b", "major": 8, "minor": 1, "access": "m"},
        ]);
        assert_eq!(list(other_right).unwrap().1, ["b 8:* rw"]);
    }

    #[test]
    fn everything_but() {
        let (allows, lines) = list(serde_json::json!([
            {"allow": true},
            {"allow": false, "type": "c", "major": 10, "minor": 200, "access": "rwm"},
            {"allow": false, "type": "a", "major": 11, "access": "w"},
        ]))
        .unwrap();
        assert!(allows);
        assert_eq!(lines, ["c 10:200 rwm", "b 11:* w", "c 11:* w"]);
    }

    #[test]
    fn from_one_list_to_another() {
        let parse = |text| List::parse(text).unwrap();
        let old = parse("c 1:3 rwm\nc 1:5 r\nb 8:* rw\n");
        let new = parse("c 1:3 rw\nc 1:5 rw\nc 136:* m\n");
        let (allow, deny) = old.changes(&new);
        assert_eq!(allow, ["c 1:5 w", "c 136:* m"]);
        assert_eq!(deny, ["c 1:3 m", "b 8:* rw"]);
        assert!(parse("a *:* rwm\n").allows);
        assert_eq!(List::parse("something else"), None);
    }

    #[test]
    fn nonsense_is_told() {
        for wrong in [
            serde_json::json!([{"allow": true, "type": "p"}]),
            serde_json::json!([{"allow": true, "type": "c", "access": "rx"}]),
            serde_json::json!([{"allow": true, "type": "c", "major": 1_i64 << 40}]),
        ] {
            assert!(matches!(rules(wrong), Err(Error::DeviceRule { .. })));
        }
    }

    #[test]
    fn the_default_rules_fit_v1() {
        let list = List::of(&DEFAULT_RULES).unwrap();
        assert_eq!(list.exceptions.len(), DEFAULT_RULES.len());
    }
}
