//! A curve in one line of text. A gap is drawn as a gap, never as zero and never joined.

use super::Style;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', '-', '~', '=', '+', '*', '#'];

/// One character a value, lowest to highest over the values there are; a space for a gap. A
/// curve that hardly moves (by less than a tenth) is drawn flat and low, so that noise does not
/// look like a mountain range.
pub fn sparkline(values: &[Option<f64>], style: Style) -> String {
    let marks = if style.blocks { BLOCKS } else { ASCII };
    let known = || values.iter().flatten().copied();
    let (Some(low), Some(high)) = (known().reduce(f64::min), known().reduce(f64::max)) else {
        return " ".repeat(values.len());
    };
    let range = (high - low).max(high.abs() * 0.1);
    values
        .iter()
        .map(|value| match value {
            None => ' ',
            Some(_) if range <= 0.0 => marks[0],
            Some(value) => marks[level((value - low) / range, marks.len())],
        })
        .collect()
}

/// At most `width` values out of a longer row: of each bin the largest, since a peak is what one
/// looks for. A bin is a gap only where all of it is.
pub fn squeeze(values: &[Option<f64>], width: usize) -> Vec<Option<f64>> {
    if values.len() <= width {
        return values.to_vec();
    }
    (0..width)
        .map(|i| {
            let bin = &values[i * values.len() / width..(i + 1) * values.len() / width];
            bin.iter().flatten().copied().reduce(f64::max)
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of 0 to 1 of eight levels"
)]
fn level(share: f64, levels: usize) -> usize {
    ((share.clamp(0.0, 1.0) * (levels - 1) as f64).round() as usize).min(levels - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(values: &[Option<f64>]) -> String {
        sparkline(values, Style::PLAIN)
    }

    #[test]
    fn lowest_to_highest_with_gaps() {
        assert_eq!(draw(&[Some(1.0), None, Some(4.5), Some(8.0)]), "▁ ▅█");
        assert_eq!(draw(&[None, None]), "  ");
        assert_eq!(draw(&[]), "");
    }

    #[test]
    fn noise_stays_low() {
        assert_eq!(draw(&[Some(100.0), Some(101.0), Some(100.0)]), "▁▂▁");
        assert_eq!(draw(&[Some(0.0), Some(0.0)]), "▁▁");
    }

    #[test]
    fn squeezing_keeps_the_peak() {
        let mut row = vec![Some(1.0); 100];
        row[57] = Some(9.0);
        let short = squeeze(&row, 10);
        assert_eq!(short.len(), 10);
        assert_eq!(short[5], Some(9.0));
        assert_eq!(squeeze(&[None, None, Some(2.0), None], 2), [None, Some(2.0)]);
    }
}
