//! A list of objects as a table, as JSON lines or through a `--format` template.
//!
//! Source: Docker CLI `cli/command/formatter` and its reference ("Format the output").

use super::{table, terminal};
use crate::failure::Failure;
use serde_json::{Map, Value};
use std::cell::OnceCell;
use template::{Methods, Template, json};

/// What most lists can be asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct ListFlags {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Only display IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// One field of a listed object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) header: &'static str,
    /// Whether its column may be cut to fit a narrow terminal.
    pub(crate) may_shrink: bool,
}

/// A field whose column stays whole.
pub(crate) const fn field(name: &'static str, header: &'static str) -> Field {
    Field {
        name,
        header,
        may_shrink: false,
    }
}

/// A field whose column may be cut.
pub(crate) const fn long_field(name: &'static str, header: &'static str) -> Field {
    Field {
        name,
        header,
        may_shrink: true,
    }
}

/// What `--format` asks for.
#[derive(Debug)]
pub(crate) enum Format {
    Table,
    Json,
    Template(Template),
    TableTemplate(Template),
}

impl Format {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        let text = text.unwrap_or("table");
        Ok(match text.trim() {
            "" | "table" => Self::Table,
            "json" => Self::Json,
            _ => match text.strip_prefix("table ") {
                Some(rest) => Self::TableTemplate(Template::parse(&unescape(rest.trim_start()))?),
                None => Self::Template(Template::parse(&unescape(text))?),
            },
        })
    }

    /// Whether a field that is dear to compute is shown.
    pub(crate) fn wants(&self, field: &str) -> bool {
        match self {
            Self::Table => false,
            Self::Json => true,
            Self::Template(template) | Self::TableTemplate(template) => template.mentions(field),
        }
    }
}

/// `\t` and `\n` as scripts write them in single quotes.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// Prints rows. `fields` are all a template may use, `columns` the names of those the table shows.
pub(crate) fn print(
    format: &Format,
    fields: &[Field],
    columns: &[&str],
    rows: &[Map<String, Value>],
) -> Result<(), Failure> {
    super::text(&render(format, fields, columns, rows, terminal::width())?)
}

pub(crate) fn render(
    format: &Format,
    fields: &[Field],
    columns: &[&str],
    rows: &[Map<String, Value>],
    width: Option<usize>,
) -> Result<String, Failure> {
    match format {
        Format::Table => Ok(plain(fields, columns, rows, width)),
        Format::Json => Ok(rows
            .iter()
            .map(|row| json(&Value::Object(row.clone())) + "\n")
            .collect()),
        Format::Template(template) => {
            let mut out = String::new();
            for row in rows {
                out.push_str(&one(template, row).map_err(|e| knowing(e, fields))?);
                out.push('\n');
            }
            Ok(out)
        }
        Format::TableTemplate(template) => {
            let header: Map<String, Value> = fields
                .iter()
                .map(|f| (f.name.to_owned(), f.header.into()))
                .collect();
            let methods = |name: &str, args: &[Value]| {
                (name == "Label").then(|| args.first().cloned().unwrap_or_default())
            };
            let named = executed(template, &header, &methods);
            let mut lines = vec![named.map_err(|e| knowing(e, fields))?];
            for row in rows {
                lines.push(one(template, row).map_err(|e| knowing(e, fields))?);
            }
            let cells = lines
                .iter()
                .map(|line| line.split('\t').map(str::to_owned).collect())
                .collect();
            Ok(table::layout(cells, &[], None))
        }
    }
}

/// What a template could have asked for.
fn knowing(failure: Failure, fields: &[Field]) -> Failure {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    failure.hint(format!("the fields are {}", names.join(", ")))
}

fn plain(
    fields: &[Field],
    columns: &[&str],
    rows: &[Map<String, Value>],
    width: Option<usize>,
) -> String {
    let shown: Vec<&Field> = columns
        .iter()
        .filter_map(|c| fields.iter().find(|f| f.name == *c))
        .collect();
    let mut cells = vec![
        shown
            .iter()
            .map(|f| f.header.to_owned())
            .collect::<Vec<_>>(),
    ];
    cells.extend(
        rows.iter()
            .map(|row| shown.iter().map(|f| cell(row.get(f.name))).collect()),
    );
    let may_shrink: Vec<bool> = shown.iter().map(|f| f.may_shrink).collect();
    table::layout(cells, &may_shrink, width)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn one(template: &Template, row: &Map<String, Value>) -> Result<String, Failure> {
    let labels = OnceCell::new();
    let methods = |name: &str, args: &[Value]| {
        let key = args.first().and_then(Value::as_str)?;
        let labels = labels
            .get_or_init(|| split_labels(row.get("Labels").and_then(Value::as_str).unwrap_or("")));
        (name == "Label").then(|| {
            labels
                .iter()
                .find(|(k, _)| k == key)
                .map_or("", |(_, v)| v.as_str())
                .into()
        })
    };
    executed(template, row, &methods)
}

fn executed(
    template: &Template,
    row: &Map<String, Value>,
    methods: Methods<'_>,
) -> Result<String, Failure> {
    template
        .execute_with(&Value::Object(row.clone()), Some(methods))
        .map_err(|error| Failure::said(format!("failed to execute template: {error}")))
}

/// The `k=v,k=v` of a row back into pairs. A value with a comma in it is told apart by its lack of `=`.
fn split_labels(text: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for piece in text.split(',') {
        match (piece.split_once('='), pairs.last_mut()) {
            (Some((key, value)), _) => pairs.push((key.into(), value.into())),
            (None, Some((_, value))) => {
                value.push(',');
                value.push_str(piece);
            }
            (None, None) => {}
        }
    }
    pairs
}

/// The `k=v,k=v` text Docker's rows show, in the order of the keys.
pub(crate) fn join_labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIELDS: [Field; 3] = [
        field("ID", "CONTAINER ID"),
        field("Names", "NAMES"),
        field("Labels", "LABELS"),
    ];

    fn shown(format: &str) -> String {
        let Value::Object(row) = json!({"ID": "abc", "Names": "web", "Labels": "a=1,b=x,y,c="})
        else {
            unreachable!()
        };
        let format = Format::parse(Some(format)).unwrap();
        render(&format, &FIELDS, &["ID", "Names"], &[row], None).unwrap_or_else(|e| e.chain())
    }

    #[test]
    fn every_form_of_format_is_dockers() {
        assert_eq!(shown("table"), "CONTAINER ID   NAMES\nabc            web\n");
        assert_eq!(
            shown(r"table {{.Names}}\t{{.ID}}"),
            "NAMES     CONTAINER ID\nweb       abc\n"
        );
        assert_eq!(shown("{{.Names}}"), "web\n");
        assert_eq!(shown(r"{{.Names}}\t{{.ID}}"), "web\tabc\n");
        assert_eq!(
            shown("json"),
            "{\"ID\":\"abc\",\"Names\":\"web\",\"Labels\":\"a=1,b=x,y,c=\"}\n"
        );
        assert_eq!(shown(r#"{{.Label "b"}}/{{.Label "none"}}"#), "x,y/\n");
        assert!(shown("{{.Nme}}").contains("failed to execute template: template: :1:2"));
        let format = Format::parse(Some("{{.Nme}}")).unwrap();
        let error = render(&format, &FIELDS, &[], &[Map::new()], None).unwrap_err();
        let hint = error.way_out().unwrap();
        assert_eq!(hint, "the fields are ID, Names, Labels");
    }
}
