//! Line plots as SVG text.
//!
//! Owns the picture: frame, grid, labels, lines, legend. It knows nothing of what the values mean.
//! Colours are classes that the page's style sheet defines, for light and dark; lines also differ
//! by dashes. Each picture has a title and a description for those who do not see it.

use std::fmt::Write as _;

use super::axis::{Axis, Fitted};
use super::html::escape;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 32.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 50.0;
const LEGEND_ROW: f64 = 20.0;
/// Width of a legend's line sample with its gaps.
const SAMPLE: f64 = 44.0;
/// A generous guess of a character's width.
const CHARACTER: f64 = 8.0;
/// Colours that the style sheet has.
const COLOURS: usize = 8;
/// Most points of a line; beyond, only the greatest of neighbours is kept, so that no peak is lost.
const POINTS_MAX: usize = 1_000;

/// A plot.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    /// One sentence: what is to be seen.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

/// A line, or loose points.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) mark: Mark,
    /// Which colour.
    pub(super) colour: usize,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Dashed,
    /// A line with a dot at each point.
    Dotted,
    /// Dots alone.
    Dots,
    /// Empty dots alone.
    Rings,
}

impl Chart {
    /// Draws it; `id` must be the page's only one of that name. `None`: there is nothing to show.
    pub(super) fn draw(&self, id: &str) -> Option<String> {
        let x =
            self.x.fit(self.series.iter().flat_map(|series| series.points.iter().map(|point| point.0)))?;
        let y =
            self.y.fit(self.series.iter().flat_map(|series| series.points.iter().map(|point| point.1)))?;
        let (legend, rows) = self.legend();
        let height = HEIGHT + rows as f64 * LEGEND_ROW + 8.0;
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n\
             <title id=\"{id}-t\">{}</title>\n<desc id=\"{id}-d\">{}</desc>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"20\">{0}</text>\n",
            escape(&self.title),
            escape(&self.description),
        );
        self.axes(&x, &y, &mut svg);
        for series in &self.series {
            series.draw(&x, &y, &mut svg);
        }
        svg += &legend;
        svg += "</svg>\n";
        Some(svg)
    }

    fn axes(&self, x: &Fitted, y: &Fitted, svg: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in x.ticks() {
            let Some(at) = x.place(tick.value).map(across) else { continue };
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom}\"/>");
            let _ = writeln!(
                svg,
                "<text class=\"tick\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 17.0,
                tick.label
            );
        }
        for tick in y.ticks() {
            let Some(at) = y.place(tick.value).map(down) else { continue };
            let class = if tick.label.is_empty() { "grid minor" } else { "grid" };
            let _ = writeln!(svg, "<path class=\"{class}\" d=\"M{LEFT} {at:.1}H{right}\"/>");
            let _ = writeln!(
                svg,
                "<text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 7.0,
                at + 4.0,
                tick.label
            );
        }
        let _ = writeln!(svg, "<path class=\"frame\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>");
        let _ = writeln!(
            svg,
            "<text class=\"label x\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            f64::midpoint(LEFT, right),
            bottom + 38.0,
            escape(self.x.label)
        );
        let middle = f64::midpoint(TOP, bottom);
        let _ = writeln!(
            svg,
            "<text class=\"label y\" text-anchor=\"middle\" transform=\"translate(16 {middle:.1}) rotate(-90)\">{}</text>",
            escape(self.y.label)
        );
    }

    /// Draws what stands below the plot, and says how many rows it has.
    fn legend(&self) -> (String, usize) {
        let mut svg = String::new();
        let (mut left, mut row) = (LEFT, 0);
        for series in self.series.iter().filter(|series| !series.points.is_empty()) {
            let width = SAMPLE + series.name.chars().count() as f64 * CHARACTER;
            if left > LEFT && left + width > WIDTH - RIGHT {
                (left, row) = (LEFT, row + 1);
            }
            let middle = HEIGHT + (row as f64).mul_add(LEGEND_ROW, 6.0);
            svg += &series.sample(left, middle);
            let _ = writeln!(
                svg,
                "<text class=\"legend\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                left + 30.0,
                middle + 4.0,
                escape(&series.name)
            );
            left += width;
        }
        (svg, row + 1)
    }
}

impl Series {
    /// A line.
    pub(super) fn line(name: impl Into<String>, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, mark: Mark::Line, colour }
    }

    /// The same, drawn otherwise.
    pub(super) fn marked(mut self, mark: Mark) -> Self {
        self.mark = mark;
        self
    }

    fn class(&self) -> String {
        let dashes = if self.mark == Mark::Dashed { " dashed" } else { "" };
        format!("line c{}{dashes}", self.colour % COLOURS)
    }

    fn draw(&self, x: &Fitted, y: &Fitted, svg: &mut String) {
        let places: Vec<(f64, f64)> = thin(&self.points)
            .into_iter()
            .filter_map(|point| Some((across(x.place(point.0)?), down(y.place(point.1)?))))
            .collect();
        if matches!(self.mark, Mark::Line | Mark::Dashed | Mark::Dotted) && !places.is_empty() {
            let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(svg, "<polyline class=\"{}\" points=\"{}\"/>", self.class(), points.join(" "));
        }
        // A line of one point would not be seen.
        if !matches!(self.mark, Mark::Line | Mark::Dashed) || places.len() == 1 {
            for (x, y) in places {
                let _ = writeln!(svg, "{}", self.dot(x, y));
            }
        }
    }

    fn dot(&self, x: f64, y: f64) -> String {
        let class = if self.mark == Mark::Rings { "ring" } else { "dot" };
        format!("<circle class=\"{class} c{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>", self.colour % COLOURS)
    }

    fn sample(&self, left: f64, middle: f64) -> String {
        if matches!(self.mark, Mark::Dots | Mark::Rings) {
            return self.dot(left + 12.0, middle) + "\n";
        }
        format!("<path class=\"{}\" d=\"M{left:.1} {middle:.1}h24\"/>\n", self.class())
    }
}

fn across(place: f64) -> f64 {
    place.mul_add(WIDTH - RIGHT - LEFT, LEFT)
}

fn down(place: f64) -> f64 {
    let bottom = HEIGHT - BOTTOM;
    place.mul_add(TOP - bottom, bottom)
}

/// Keeps the greatest of neighbours.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS_MAX).max(1);
    let greatest = |group: &[(f64, f64)]| group.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
    points.chunks(size).filter_map(greatest).collect()
}
