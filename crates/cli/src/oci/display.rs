//! `state`, `list`, `ps`.

use super::argv::{Flag, Given, switch, value};
use super::{Call, Verb, at_most, usage};
use crate::failure::{Failure, Outcome};
use crate::output::{self, table};
use bundle::State;
use engine::container::top;
use serde_json::{Map, Value, json};

pub(super) const STATE: Verb = Verb {
    name: "state",
    usage: "CONTAINER",
    flags: &[],
    words: usize::MAX,
    run: |call, given| {
        at_most(given, 1)?;
        let state = object(&call.root.look_at(super::id(given)?)?.state());
        output::line(pretty(&state))?;
        Ok(0)
    },
};

const LISTING: &[Flag] = &[value("format").or('f'), switch("quiet").or('q')];

pub(super) const LIST: Verb = Verb {
    name: "list",
    usage: "[--format table|json] [--quiet]",
    flags: LISTING,
    words: usize::MAX,
    run: list,
};

pub(super) const PS: Verb = Verb {
    name: "ps",
    usage: "[--format table|json] CONTAINER [ps OPTIONS]",
    flags: &[value("format").or('f')],
    words: 1,
    run: ps,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

fn format(text: Option<&str>) -> Result<Format, Failure> {
    match text {
        None | Some("table") => Ok(Format::Table),
        Some("json") => Ok(Format::Json),
        Some(other) => Err(usage(format!("invalid format {other:?}: table or json"))),
    }
}

/// The specification's members first, then runc's.
pub(super) fn object(state: &State) -> Map<String, Value> {
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    set("ociVersion", json!(state.oci_version));
    set("id", json!(state.id));
    set("pid", json!(state.pid));
    set("status", json!(state.status.name()));
    set("bundle", json!(state.bundle));
    set("rootfs", json!(state.rootfs));
    set("created", json!(created(state)));
    if !state.annotations.is_empty() {
        set("annotations", json!(state.annotations));
    }
    set("owner", json!(user_name(state.owner)));
    object
}

fn created(state: &State) -> String {
    match jiff::Timestamp::from_nanosecond(state.created) {
        Ok(time) => format!("{time:.9}"),
        Err(_) => String::new(),
    }
}

/// runc says nothing where the owner is root.
fn user_name(uid: u32) -> String {
    match uid {
        0 => "root".to_owned(),
        uid => format!("#{uid}"),
    }
}

pub(super) fn pretty(value: &impl serde::Serialize) -> String {
    // Strings and numbers only: nothing that JSON could not say.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn list(call: &Call<'_>, given: &Given) -> Outcome {
    at_most(given, 0)?;
    let containers = call.root.list()?;
    if given.is_on("quiet") {
        let ids: String = containers.iter().map(|c| format!("{}\n", c.id())).collect();
        output::text(&ids)?;
        return Ok(0);
    }
    let states: Vec<State> = containers.iter().map(bundle::Container::state).collect();
    match format(given.text("format"))? {
        Format::Json => {
            let all: Vec<Value> = states.iter().map(|state| object(state).into()).collect();
            output::line(Value::from(all))?;
        }
        Format::Table => {
            let titles = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
            let mut rows = vec![titles.map(str::to_owned).to_vec()];
            rows.extend(states.iter().map(row));
            output::text(&table::layout(rows, &[], None))?;
        }
    }
    Ok(0)
}

fn row(state: &State) -> Vec<String> {
    vec![
        state.id.clone(),
        state.pid.to_string(),
        state.status.name().to_owned(),
        state.bundle.display().to_string(),
        created(state),
        user_name(state.owner),
    ]
}

fn ps(call: &Call<'_>, given: &Given) -> Outcome {
    let container = call.container(given)?;
    let (wanted, options) = trailing(given)?;
    let pids = bundle::processes::pids(&container)?;
    if wanted == Format::Json {
        output::line(Value::from(pids))?;
        return Ok(0);
    }
    // What is shown is `ps -ef`, read from /proc; other views of ps(1) are not imitated.
    if !matches!(options.as_slice(), [] | ["-ef"] | ["-e", "-f"]) {
        return Err(Failure::said(format!(
            "ps options {:?} are not supported: only the columns of -ef",
            options.join(" ")
        )));
    }
    let shown = top::table(&top::of_pids(&pids));
    let mut rows = vec![shown.titles];
    rows.extend(shown.rows);
    output::text(&table::layout(rows, &[], None))?;
    Ok(0)
}

/// The words after the id: `--format` is still ours, the rest are for ps.
fn trailing(given: &Given) -> Result<(Format, Vec<&str>), Failure> {
    let mut wanted = given.text("format");
    let mut options = Vec::new();
    let mut rest = given.words.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = rest.next() {
        match word {
            "--format" => wanted = rest.next(),
            word => match word.strip_prefix("--format=") {
                Some(value) => wanted = Some(value),
                None => options.push(word),
            },
        }
    }
    Ok((format(wanted)?, options))
}
