//! Tables: aligned under a heading for people, columns separated by tabs without a heading for programs.
//!
//! Cells come from elsewhere (names, descriptions), so control characters never reach the terminal.

use super::terminal::{Output, Paint};

/// Rows of cells under a heading.
#[derive(Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    heading: [&'static str; COLUMNS],
    rows: Vec<[Cell; COLUMNS]>,
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    paint: Option<Paint>,
    is_number: bool,
}

impl Cell {
    /// A text.
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        let clean = text.as_ref().chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        Self { text: clean, ..Self::default() }
    }

    /// A number, aligned to the right.
    pub(crate) fn number(number: impl ToString) -> Self {
        Self { is_number: true, ..Self::text(number.to_string()) }
    }

    /// With a colour, on terminals that have them.
    pub(crate) fn paint(self, paint: Paint) -> Self {
        Self { paint: Some(paint), ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// Without rows.
    pub(crate) fn new(heading: [&'static str; COLUMNS]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// One more row.
    pub(crate) fn push(&mut self, row: [Cell; COLUMNS]) {
        self.rows.push(row);
    }

    /// As the output wants it.
    pub(crate) fn render(&self, output: Output) -> String {
        if output.is_terminal { self.aligned(output.colours) } else { self.tabbed() }
    }

    fn tabbed(&self) -> String {
        let line = |row: &[Cell; COLUMNS]| row.each_ref().map(|cell| cell.text.as_str()).join("\t") + "\n";
        self.rows.iter().map(line).collect()
    }

    fn aligned(&self, colours: bool) -> String {
        let mut widths = self.heading.map(|name| name.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let numeric: [bool; COLUMNS] =
            std::array::from_fn(|at| !self.rows.is_empty() && self.rows.iter().all(|row| row[at].is_number));
        let heading: [Cell; COLUMNS] = std::array::from_fn(|at| Cell {
            is_number: numeric[at],
            ..Cell::text(self.heading[at]).paint(Paint::Bold)
        });
        std::iter::once(&heading).chain(&self.rows).map(|row| line(row, &widths, colours)).collect()
    }
}

fn line<const COLUMNS: usize>(row: &[Cell; COLUMNS], widths: &[usize; COLUMNS], colours: bool) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        let painted = match cell.paint {
            Some(paint) => paint.on(&cell.text, colours),
            None => cell.text.clone(),
        };
        let padding = " ".repeat(width - cell.width());
        match (cell.is_number, at + 1 == COLUMNS) {
            (true, _) => text.extend([padding, painted]),
            // No blanks at the ends of lines.
            (false, true) => text.push_str(&painted),
            (false, false) => text.extend([painted, padding]),
        }
        if at + 1 < COLUMNS {
            text.push_str("  ");
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<3> {
        let mut table = Table::new(["NAME", "MB", "STATE"]);
        table.push([Cell::text("hello"), Cell::number(128), Cell::text("Active").paint(Paint::Green)]);
        table.push([Cell::text("a\tb\x1b[2J"), Cell::number(1024), Cell::text("Pending")]);
        table
    }

    #[test]
    fn people_get_aligned_columns_under_a_heading() {
        let text = table().render(Output { is_terminal: true, colours: false });
        assert_eq!(text, "NAME       MB  STATE\nhello     128  Active\na b [2J  1024  Pending\n");
    }

    #[test]
    fn colours_do_not_shift_columns() {
        let text = table().render(Output { is_terminal: true, colours: true });
        let bare = text.replace("\x1b[1m", "").replace("\x1b[32m", "").replace("\x1b[0m", "");
        assert_eq!(bare, table().render(Output { is_terminal: true, colours: false }));
        assert!(text.contains("\x1b[32mActive\x1b[0m"));
    }

    #[test]
    fn programs_get_tabs_without_a_heading() {
        let text = table().render(Output { is_terminal: false, colours: false });
        assert_eq!(text, "hello\t128\tActive\na b [2J\t1024\tPending\n");
    }

    #[test]
    fn an_empty_table_is_a_heading_for_people_and_nothing_for_programs() {
        let table = Table::new(["NAME", "STATE"]);
        assert_eq!(table.render(Output { is_terminal: true, colours: false }), "NAME  STATE\n");
        assert_eq!(table.render(Output { is_terminal: false, colours: false }), "");
    }
}
