//! Horizontal bars as SVG text: one for each run, with its value written out.
//!
//! From zero always, so that a bar's length can be trusted. Style as in `chart`.

use std::fmt::Write as _;

use super::axis::{Axis, Scale, short};
use super::html::escape;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 270.0;
/// Room for the value beyond the longest bar.
const RIGHT: f64 = 80.0;
const TOP: f64 = 36.0;
const ROW: f64 = 26.0;
const BOTTOM: f64 = 46.0;
/// Longest name that is not cut.
const NAME_CHARACTERS_MAX: usize = 32;

/// A comparison of one figure.
pub(super) struct Bars {
    pub(super) title: &'static str,
    /// Of the value, with its unit.
    pub(super) label: &'static str,
    /// Name and value.
    pub(super) bars: Vec<(String, f64)>,
}

impl Bars {
    /// Draws them; `id` must be the page's only one of that name. `None`: there is nothing to show.
    pub(super) fn draw(&self, id: &str) -> Option<String> {
        let axis = Axis::new(self.label, Scale::Linear);
        let fitted = axis.fit(self.bars.iter().map(|bar| bar.1))?;
        let bottom = (self.bars.len() as f64).mul_add(ROW, TOP);
        let across = |place: f64| place * (WIDTH - LEFT - RIGHT);
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n\
             <title id=\"{id}-t\">{}</title>\n<desc id=\"{id}-d\">{}, a bar for each run.</desc>\n\
             <text class=\"title\" x=\"12\" y=\"20\">{1}</text>\n",
            bottom + BOTTOM,
            escape(self.title),
            escape(self.label),
        );
        for tick in fitted.ticks() {
            let Some(at) = fitted.place(tick.value).map(|place| LEFT + across(place)) else { continue };
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom}\"/>");
            let _ = writeln!(
                svg,
                "<text class=\"tick\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 17.0,
                tick.label
            );
        }
        for (row, (name, value)) in self.bars.iter().enumerate() {
            let Some(place) = fitted.place(*value) else { continue };
            let (top, width) = ((row as f64).mul_add(ROW, TOP), across(place));
            let _ = writeln!(
                svg,
                "<text class=\"legend\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n\
                 <rect class=\"bar c{}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/>\n\
                 <text class=\"legend\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 8.0,
                top + 17.0,
                escape(&cut(name)),
                row % 8,
                top + 4.0,
                ROW - 8.0,
                LEFT + width + 6.0,
                top + 17.0,
                short(rounded(*value)),
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"label x\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n</svg>",
            LEFT + across(0.5),
            bottom + 38.0,
            escape(self.label)
        );
        Some(svg)
    }
}

fn cut(name: &str) -> String {
    if name.chars().count() <= NAME_CHARACTERS_MAX {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARACTERS_MAX - 1).chain(['…']).collect()
}

/// To three digits.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let unit = 10_f64.powf(value.abs().log10().floor() - 2.0);
    (value / unit).round() * unit
}
