//! Columns aligned with blanks, as Go's `tabwriter` does for Docker: at least ten wide, three blanks between.

use unicode_width::UnicodeWidthStr;

const MINIMUM: usize = 10;
const GAP: usize = 3;
/// A column is not cut below this to make a table fit.
const NARROWEST: usize = 9;

/// Lays out rows of cells. With `fit`, the widest of the columns in `may_shrink` are cut until a row fits.
pub(crate) fn layout(
    mut rows: Vec<Vec<String>>,
    may_shrink: &[bool],
    fit: Option<usize>,
) -> String {
    if let Some(width) = fit {
        shrink(&mut rows, may_shrink, width);
    }
    let widths = widths(&rows);
    let mut out = String::new();
    for row in &rows {
        let last = row.len().saturating_sub(1);
        for (i, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if i < last {
                let column = (widths[i] + GAP).max(MINIMUM);
                out.extend(std::iter::repeat_n(' ', column - cell.width()));
            }
        }
        out.push('\n');
    }
    out
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    (0..columns)
        .map(|i| {
            rows.iter()
                .filter_map(|row| row.get(i))
                .map(|cell| cell.width())
                .max()
                .unwrap_or(0)
        })
        .collect()
}

fn shrink(rows: &mut [Vec<String>], may_shrink: &[bool], width: usize) {
    let mut wanted = widths(rows);
    let last = wanted.len().saturating_sub(1);
    let total = |wanted: &[usize]| -> usize {
        wanted
            .iter()
            .enumerate()
            .map(|(i, w)| {
                if i == last {
                    *w
                } else {
                    (w + GAP).max(MINIMUM)
                }
            })
            .sum()
    };
    let original = wanted.clone();
    while total(&wanted) > width {
        let widest = (0..wanted.len())
            .filter(|i| may_shrink.get(*i) == Some(&true) && wanted[*i] > NARROWEST)
            .max_by_key(|i| wanted[*i]);
        let Some(widest) = widest else { break };
        let excess = total(&wanted) - width;
        let second = (0..wanted.len())
            .filter(|i| *i != widest && may_shrink.get(*i) == Some(&true))
            .map(|i| wanted[i])
            .max()
            .unwrap_or(0);
        // Down to the next widest, or as far as needed, but always by one.
        let floor = second
            .max(NARROWEST)
            .max(wanted[widest].saturating_sub(excess))
            .min(wanted[widest] - 1);
        wanted[widest] = floor;
    }
    for row in rows {
        for (i, cell) in row.iter_mut().enumerate() {
            if wanted[i] < original[i] {
                *cell = super::units::ellipsis(cell, wanted[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[&[&str]]) -> Vec<Vec<String>> {
        cells
            .iter()
            .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
            .collect()
    }

    #[test]
    fn columns_are_dockers() {
        let table = layout(
            rows(&[
                &["CONTAINER ID", "IMAGE", "NAMES"],
                &["0123456789ab", "nginx:alpine", "web"],
            ]),
            &[],
            None,
        );
        assert_eq!(
            table,
            "CONTAINER ID   IMAGE          NAMES\n0123456789ab   nginx:alpine   web\n"
        );
        let table = layout(rows(&[&["A", "B"], &["é", "x"]]), &[], None);
        assert_eq!(table, "A         B\né         x\n");
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_column_first() {
        let table = layout(
            rows(&[
                &["ID", "LONG"],
                &["abc", "a very long text that does not fit"],
            ]),
            &[false, true],
            Some(30),
        );
        assert_eq!(table, "ID        LONG\nabc       a very long text th…\n");
        let table = layout(
            rows(&[&["ID", "LONG"], &["abc", "short"]]),
            &[false, true],
            Some(5),
        );
        assert_eq!(
            table, "ID        LONG\nabc       short\n",
            "what may not shrink stays whole"
        );
    }
}
