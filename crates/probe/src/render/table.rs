//! Plain columns: text to the left, numbers to the right, two spaces between.

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Lays rows out below a heading. Widths are counted in characters, so cells must be unpainted.
/// Every line ends in a newline and in no spaces.
pub fn table(heading: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = heading.iter().map(|(title, _)| (*title).to_owned()).collect();
    let width = |column: usize| {
        rows.iter()
            .chain([&titles])
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut out = String::new();
    for row in [&titles].into_iter().chain(rows) {
        let mut line = String::new();
        for ((cell, (_, align)), width) in row.iter().zip(heading).zip(&widths) {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            match align {
                Align::Left => line.extend([cell, pad.as_str(), "  "]),
                Align::Right => line.extend([pad.as_str(), cell, "  "]),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let heading = [("stage", Align::Left), ("median", Align::Right)];
        let rows = [vec!["DNS".into(), "9.1 ms".into()], vec!["total".into(), "–".into()]];
        assert_eq!(table(&heading, &rows), "stage  median\nDNS    9.1 ms\ntotal       –\n");
    }
}
