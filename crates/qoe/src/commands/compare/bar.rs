//! A share and its interval, drawn between 0 and 1 with the middle marked.

use crate::render::Style;

const WIDTH: usize = 21;

/// `····─●──┼··········`.
pub(super) fn bar(low: f64, value: f64, high: f64, style: Style) -> String {
    let [empty, middle, line, point] =
        if style.blocks { ['·', '┼', '─', '●'] } else { ['.', '|', '-', 'o'] };
    let (low, value, high) = (place(low), place(value), place(high));
    (0..WIDTH)
        .map(|at| match at {
            _ if at == value => point,
            _ if at == WIDTH / 2 => middle,
            _ if (low..=high).contains(&at) => line,
            _ => empty,
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of 0 to 1 of some columns"
)]
fn place(share: f64) -> usize {
    (share.clamp(0.0, 1.0) * (WIDTH - 1) as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_drawn_to_scale() {
        let blocks = Style { colour: false, blocks: true };
        assert_eq!(bar(0.6, 0.8, 1.0, blocks), "··········┼·────●────");
        assert_eq!(bar(0.4, 0.5, 0.6, blocks), "········──●──········");
        let ascii = Style { colour: false, blocks: false };
        assert_eq!(bar(0.0, 0.0, 0.1, ascii), "o--.......|..........");
    }
}
