//! Rows under headings, each column as wide as its widest text. Pure.

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column<'a> {
    /// Text: to the left.
    Text(&'a str),
    /// A number: to the right.
    Number(&'a str),
}

/// The table, its lines indented by two.
pub(super) fn table(columns: &[Column<'_>], rows: &[Vec<String>]) -> String {
    let heading = |column: &Column<'_>| match column {
        Column::Text(heading) | Column::Number(heading) => (*heading).to_owned(),
    };
    let headings: Vec<String> = columns.iter().map(heading).collect();
    let width = |index: usize| {
        let cells = rows.iter().chain([&headings]).filter_map(|row| row.get(index));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in [&headings].into_iter().chain(rows) {
        let mut line = String::new();
        for ((column, cell), width) in columns.iter().zip(row).zip(&widths) {
            line += &match column {
                Column::Text(_) => format!("  {cell:<width$}"),
                Column::Number(_) => format!("  {cell:>width$}"),
            };
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let rows = [vec!["é".to_owned(), "1".to_owned()], vec!["long name".to_owned(), "1,000".to_owned()]];
        let text = table(&[Column::Text("name"), Column::Number("keys")], &rows);
        assert_eq!(text, "  name        keys\n  é              1\n  long name  1,000\n");
    }
}
