//! `top`: the processes of all services in one table.
//!
//! Source: docker/compose `cmd/compose/top.go`, whose columns are as wide as Go's `tabwriter` makes them (4 at least, 2 between).

use super::Call;
use super::verb::{Run, Verb, verb};
use crate::failure::Outcome;
use crate::output;
use clap::Args;
use engine::container::{names, top};
use unicode_width::UnicodeWidthStr;

pub(crate) const VERBS: &[Verb] = &[verb::<Top>(
    &["top"],
    "[SERVICES...]",
    "Display the running processes",
)];

#[derive(Debug, Args)]
struct Top {
    service: Vec<String>,
}

impl Run for Top {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        let mut rows: Vec<Vec<String>> = Vec::new();
        for container in call.containers(&target, &self.service, false)? {
            if !container.status.is_active() {
                continue;
            }
            let record = names::resolve(call.ctx()?, &container.id)?;
            let table = top::table(&top::processes(call.ctx()?, &record)?);
            if rows.is_empty() {
                rows.push(titled("SERVICE", "#", table.titles));
            }
            let number = container.number.to_string();
            let of_service = |row| titled(&container.service, &number, row);
            rows.extend(table.rows.into_iter().map(of_service));
        }
        output::text(&layout(&rows))?;
        Ok(0)
    }
}

fn titled(service: &str, number: &str, rest: Vec<String>) -> Vec<String> {
    [service.to_owned(), number.to_owned()]
        .into_iter()
        .chain(rest)
        .collect()
}

fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i));
        cells.map(|cell| cell.width() + 2).max().unwrap_or(0).max(4)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (i, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if i < last {
                out.extend(std::iter::repeat_n(' ', widths[i] - cell.width()));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_docker_compose_makes_them() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["SERVICE", "#", "CMD"]), row(&["db", "12", "sleep 1"])];
        assert_eq!(layout(&rows), "SERVICE  #   CMD\ndb       12  sleep 1\n");
        assert_eq!(layout(&[]), "");
    }
}
