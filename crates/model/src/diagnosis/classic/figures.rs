//! What rules look at in a window, in milliseconds and kilobits a second.

use crate::sketch::Quantile;
use crate::stage::Metric;
use crate::window::Window;

/// One quantile of each metric; absent where nothing was measured.
pub(super) fn quantile(window: &Window, metric: Metric, q: Quantile) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "microseconds and bits a second")]
    window.sketch(metric).quantile(q).map(|v| v as f64 / 1e3)
}
