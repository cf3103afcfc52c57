//! A table, and the forms that it is shown in.

use std::fmt::Write;

use super::names::{in_csv, in_markdown, plain_line};

/// The content of a place in a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A fraction, shown in percent, and the paper's.
    Rate(f64, Option<f64>),
    /// A distortion or a norm, and the paper's.
    Size(f64, Option<f64>),
    /// A number of any magnitude, nothing where it is not known, and the paper's.
    Figure(Option<f64>, Option<f64>),
}

impl Cell {
    /// Our figure, for people.
    pub fn ours(&self) -> String {
        match self {
            Cell::Text(text) => plain_line(text),
            Cell::Count(count) => count.to_string(),
            Cell::Rate(rate, _) => percent(*rate),
            Cell::Size(size, _) => format!("{size:.3}"),
            Cell::Figure(figure, _) => figure.map_or(String::new(), digits),
        }
    }

    /// The paper's figure, for people.
    pub fn paper(&self) -> Option<String> {
        match self {
            Cell::Rate(_, Some(rate)) => Some(percent(*rate)),
            Cell::Size(_, Some(size)) => Some(format!("{size:.3}")),
            Cell::Figure(_, Some(figure)) => Some(digits(*figure)),
            _ => None,
        }
    }

    /// True where it is a number.
    pub fn is_number(&self) -> bool {
        !matches!(self, Cell::Text(_))
    }

    /// Ours, and the paper's in brackets.
    fn both(&self) -> String {
        match self.paper() {
            Some(paper) => format!("{} ({paper})", self.ours()),
            None => self.ours(),
        }
    }

    /// Ours and the paper's with all their digits.
    fn raw(&self) -> (String, Option<f64>) {
        match self {
            Cell::Text(text) => (in_csv(text), None),
            Cell::Count(count) => (count.to_string(), None),
            Cell::Rate(ours, paper) | Cell::Size(ours, paper) => (ours.to_string(), *paper),
            Cell::Figure(ours, paper) => {
                (ours.map_or(String::new(), |ours| ours.to_string()), *paper)
            }
        }
    }
}

/// A fraction in percent: two digits after the point below 10%, one above.
fn percent(rate: f64) -> String {
    let digits = if rate < 0.0995 { 2 } else { 1 };
    format!("{:.digits$}%", 100.0 * rate)
}

/// A number for people: three significant digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if (1e-3..1e4).contains(&size) => {
            let digits = (2 - size.log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.2e}"),
    }
}

/// Some columns of a row: names to the left, numbers to the right.
fn line(cells: &[String], columns: &[usize], widths: &[usize]) -> String {
    let mut line = String::new();
    for &column in columns {
        let cell = &cells[column];
        let pad = " ".repeat(widths[column] - cell.chars().count());
        line += &match column {
            0 => format!("{cell}{pad}"),
            _ => format!("  {pad}{cell}"),
        };
    }
    line.trim_end().to_owned() + "\n"
}

/// Rows of cells under heads.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// What must be known to read it; a quick look says so here.
    pub note: String,
    /// The head of each column.
    pub heads: Vec<String>,
    /// The rows, each as long as `heads`; the first cell names the row.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Lines of any width, the columns aligned.
    pub fn text(&self) -> String {
        self.text_within(usize::MAX)
    }

    /// Lines for a terminal of this many letters, the columns aligned: those that do not fit stand below the others,
    /// again beside the first. The note is one line.
    pub fn text_within(&self, letters: usize) -> String {
        let cells: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::both).collect())
            .collect();
        let width = |column: usize| {
            let of = |row: &Vec<String>| row.get(column).map_or(0, |cell| cell.chars().count());
            cells
                .iter()
                .map(of)
                .max()
                .unwrap_or(0)
                .max(self.heads[column].chars().count())
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let mut text = self.title.clone() + "\n";
        let mut next = 1;
        loop {
            let mut columns = vec![0];
            let mut total = widths[0];
            while next < widths.len() && (columns.len() == 1 || total + 2 + widths[next] <= letters)
            {
                total += 2 + widths[next];
                columns.push(next);
                next += 1;
            }
            text += "\n";
            text += &line(&self.heads, &columns, &widths);
            cells
                .iter()
                .for_each(|row| text.push_str(&line(row, &columns, &widths)));
            if next >= widths.len() {
                break;
            }
        }
        if !self.note.is_empty() {
            let _ = writeln!(text, "\n{}", self.note);
        }
        text
    }

    /// Comma-separated values with all digits, fractions for rates; each column that the paper has
    /// figures for is followed by one with those.
    pub fn csv(&self) -> String {
        let has_paper = |column: usize| self.rows.iter().any(|row| row[column].raw().1.is_some());
        let paper: Vec<bool> = (0..self.heads.len()).map(has_paper).collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut record = |cells: Vec<String>| {
            writer
                .write_record(cells)
                .expect("memory takes every record of one length");
        };
        let mut heads = Vec::new();
        for (head, &paper) in self.heads.iter().zip(&paper) {
            heads.push(in_csv(head));
            heads.extend(paper.then(|| format!("{head} (paper)")));
        }
        record(heads);
        for row in &self.rows {
            let mut cells = Vec::new();
            for (cell, &paper) in row.iter().zip(&paper) {
                let (ours, theirs) = cell.raw();
                cells.push(ours);
                cells
                    .extend(paper.then(|| theirs.map_or(String::new(), |value| value.to_string())));
            }
            record(cells);
        }
        let bytes = writer.into_inner().expect("memory can be flushed");
        String::from_utf8(bytes).expect("it is made of strings")
    }

    /// A Markdown table, the paper's figures in brackets.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("# {}\n\n", self.title);
        text += &line(self.heads.iter().map(|head| in_markdown(head)).collect());
        let rule = |column: usize| if column == 0 { "---" } else { "---:" }.to_owned();
        text += &line((0..self.heads.len()).map(rule).collect());
        for row in &self.rows {
            text += &line(row.iter().map(|cell| in_markdown(&cell.both())).collect());
        }
        if !self.note.is_empty() {
            let _ = write!(text, "\n{}\n", self.note);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            title: "Errors".into(),
            note: "Of a test.".into(),
            heads: vec!["model".into(), "error".into(), "images".into()],
            rows: vec![
                vec![
                    Cell::Text("a|b".into()),
                    Cell::Rate(0.0673, Some(0.067)),
                    Cell::Count(10),
                ],
                vec![
                    Cell::Text("c".into()),
                    Cell::Rate(1.0, None),
                    Cell::Count(7),
                ],
            ],
        }
    }

    #[test]
    fn every_form_has_every_figure() {
        assert_eq!(
            table().text(),
            "Errors\n\nmodel          error  images\na|b    6.73% (6.70%)      10\n\
             c             100.0%       7\n\nOf a test.\n"
        );
        assert_eq!(
            table().text_within(15),
            "Errors\n\nmodel          error\na|b    6.73% (6.70%)\nc             100.0%\n\n\
             model  images\na|b        10\nc           7\n\nOf a test.\n"
        );
        assert_eq!(
            table().csv(),
            "model,error,error (paper),images\na|b,0.0673,0.067,10\nc,1,,7\n"
        );
        assert_eq!(
            table().markdown(),
            "# Errors\n\n| model | error | images |\n| --- | ---: | ---: |\n\
             | a\\|b | 6.73% (6.70%) | 10 |\n| c | 100.0% | 7 |\n\nOf a test.\n"
        );
    }
}
