//! One picture per row: how the latencies of both sides are distributed, and each pair's ratio in the order in which
//! it was measured (a drift or a jump shows there, not in a median). Plain SVG, written by hand, readable alone.

use crate::pairs::{Pair, Sample, Statistic, ratio};
use crate::report::time;
use crate::rows::Row;
use crate::stats::{percentile, sorted};
use std::fmt::Write;

const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 400.0;
const OURS: &str = "#c2410c";
const THEIRS: &str = "#1d4ed8";
const FAINT: &str = "#d6d3d1";
const INK: &str = "#292524";
/// The slowest half percent is cut off: it is what the machine did, not what was measured.
const TAIL_PERCENT: f64 = 99.5;
/// Points per curve.
const POINTS: u32 = 200;

/// A rectangle of the picture and the data range it shows.
struct Panel {
    left: f64,
    width: f64,
    from: f64,
    to: f64,
}

const TOP: f64 = 84.0;
const BOTTOM: f64 = 340.0;

impl Panel {
    /// Horizontal place of a value on a logarithmic axis.
    fn log_x(&self, value: f64) -> f64 {
        let share = (value / self.from).ln() / (self.to / self.from).ln();
        self.left + self.width * share.clamp(0.0, 1.0)
    }

    /// Vertical place of a value on a linear axis.
    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// The picture of a row; `None` without pairs. In a calibration both sides are the comparator.
pub(crate) fn draw(row: &Row, pairs: &[Pair], calibration: bool) -> Option<String> {
    let spread = ratio(row.statistic, pairs)?;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let title = format!(
        "{}: {:.3}× the comparator (pairs {:.3} to {:.3})",
        row.id, spread.median, spread.min, spread.max
    );
    text(
        &mut svg,
        (24.0, 26.0),
        "start",
        INK,
        &format!("<tspan font-size=\"16\">{}</tspan>", escape(&title)),
    );
    let ours = if calibration { "the comparator too".into() } else { format!("Hearth: {}", row.what) };
    legend(&mut svg, 46.0, OURS, &ours);
    legend(&mut svg, 64.0, THEIRS, &format!("comparator: {}", row.comparator));
    distributions(&mut svg, pairs)?;
    ratios(&mut svg, row, pairs);
    svg.push_str("</svg>\n");
    Some(svg)
}

fn legend(svg: &mut String, y: f64, colour: &str, words: &str) {
    line(svg, (24.0, y - 4.0), (44.0, y - 4.0), colour, 3.0);
    text(svg, (50.0, y), "start", INK, &escape(words));
}

/// Left: the share of operations that were done within a time.
fn distributions(svg: &mut String, pairs: &[Pair]) -> Option<()> {
    let ours = latencies(pairs.iter().map(|pair| &pair.ours));
    let theirs = latencies(pairs.iter().map(|pair| &pair.theirs));
    let least = ours.first()?.min(*theirs.first()?).max(0.1);
    let most = percentile(&ours, TAIL_PERCENT)?.max(percentile(&theirs, TAIL_PERCENT)?);
    let panel = Panel { left: 70.0, width: 500.0, from: least * 0.9, to: most.max(least * 1.2) * 1.1 };
    for share in [0, 25, 50, 75, 100] {
        let y = share_y(f64::from(share));
        line(svg, (panel.left, y), (panel.left + panel.width, y), FAINT, 1.0);
        text(svg, (panel.left - 8.0, y + 4.0), "end", INK, &format!("{share} %"));
    }
    for value in ticks(panel.from, panel.to) {
        let x = panel.log_x(value);
        line(svg, (x, TOP), (x, BOTTOM), FAINT, 1.0);
        text(svg, (x, BOTTOM + 18.0), "middle", INK, &tick_label(value));
    }
    let caption = "operations done within this time (logarithmic; the slowest 0.5 % not shown)";
    text(svg, (panel.left + panel.width / 2.0, BOTTOM + 40.0), "middle", INK, caption);
    // The faster side is labelled on its left, the slower on its right: the labels never meet.
    let ours_first = percentile(&ours, 50.0)? < percentile(&theirs, 50.0)?;
    curve(svg, &panel, &theirs, THEIRS, !ours_first);
    curve(svg, &panel, &ours, OURS, ours_first);
    Some(())
}

fn latencies<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<f64> {
    sorted(&samples.flat_map(|sample| sample.latencies_us.iter().copied()).collect::<Vec<_>>())
}

fn share_y(percent: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * percent / 100.0
}

fn curve(svg: &mut String, panel: &Panel, sorted: &[f64], colour: &str, label_left: bool) {
    let mut points = String::new();
    for step in 0..=POINTS {
        let percent = f64::from(step) * TAIL_PERCENT / f64::from(POINTS);
        let Some(value) = percentile(sorted, percent) else { return };
        // Writing to a string cannot fail, here and below.
        write!(points, "{:.1},{:.1} ", panel.log_x(value), share_y(percent)).ok();
    }
    writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
        points.trim_end()
    )
    .ok();
    let Some(median) = percentile(sorted, 50.0) else { return };
    let (x, y) = (panel.log_x(median), share_y(50.0));
    writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>").ok();
    let (shift, anchor) = if label_left { (-8.0, "end") } else { (8.0, "start") };
    text(svg, (x + shift, y - 6.0), anchor, colour, &escape(&time(median)));
}

/// Round values between two others, as many as find room.
fn ticks(from: f64, to: f64) -> Vec<f64> {
    let steps: &[f64] = match to / from {
        span if span < 6.0 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
        span if span < 300.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let mut decade = 10_f64.powf(from.log10().floor());
    let mut ticks = Vec::new();
    while decade <= to {
        ticks.extend(steps.iter().map(|step| step * decade).filter(|value| (from..=to).contains(value)));
        decade *= 10.0;
    }
    ticks
}

/// A round time without digits that say nothing.
fn tick_label(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1e3 => (us, "µs"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    format!("{} {unit}", (value * 10.0).round() / 10.0)
}

/// Right: each pair's ratio, the median, and the row's bounds.
fn ratios(svg: &mut String, row: &Row, pairs: &[Pair]) {
    let values = row.statistic.ratios(pairs);
    let Some(spread) = ratio(row.statistic, pairs) else { return };
    let top = spread.max.max(row.must).max(row.aim) * 1.1;
    let panel = Panel { left: 650.0, width: 290.0, from: 0.0, to: top };
    let right = panel.left + panel.width;
    line(svg, (panel.left, BOTTOM), (right, BOTTOM), INK, 1.0);
    line(svg, (panel.left, TOP), (panel.left, BOTTOM), INK, 1.0);
    let sign = match row.statistic {
        Statistic::Latency => "≤",
        Statistic::Throughput => "≥",
    };
    for (name, bound) in [("must", row.must), ("aim", row.aim)] {
        let y = panel.y(bound);
        line(svg, (panel.left, y), (right, y), "#a8a29e", 1.0);
        text(svg, (right, y - 4.0), "end", "#78716c", &escape(&format!("{name} {sign} {bound}")));
    }
    let y = panel.y(spread.median);
    line(svg, (panel.left, y), (right, y), OURS, 1.5);
    text(svg, (panel.left - 6.0, y + 4.0), "end", OURS, &format!("{:.2}", spread.median));
    text(svg, (panel.left - 6.0, BOTTOM + 4.0), "end", INK, "0");
    let steps = u32::try_from(values.len()).unwrap_or(u32::MAX);
    for (index, value) in (0..steps).zip(&values) {
        let x = panel.left + panel.width * (f64::from(index) + 0.5) / f64::from(steps);
        writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{INK}\"/>", panel.y(*value)).ok();
    }
    let caption = "ratio of each pair, in the order measured";
    text(svg, (panel.left + panel.width / 2.0, BOTTOM + 40.0), "middle", INK, caption);
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    )
    .ok();
}

/// `markup` is already escaped.
fn text(svg: &mut String, at: (f64, f64), anchor: &str, colour: &str, markup: &str) {
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{markup}</text>",
        at.0, at.1
    )
    .ok();
}

fn escape(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ALL;

    fn sample(us: f64) -> Sample {
        Sample { latencies_us: vec![us, us * 1.1], wall_us: us, cpu_us: us }
    }

    #[test]
    fn a_picture_shows_both_sides_and_every_pair() {
        let pairs: Vec<Pair> =
            (1..=15).map(|n| Pair { ours: sample(f64::from(n) * 10.0), theirs: sample(100.0) }).collect();
        for row in ALL {
            let svg = draw(row, &pairs, false).expect("pairs");
            assert_eq!(svg.matches("<polyline").count(), 2);
            assert_eq!(svg.matches("r=\"3.5\"").count(), 15);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn equal_values_still_make_a_picture() {
        let pairs = [Pair { ours: sample(5.0), theirs: sample(5.0) }];
        assert!(!draw(ALL[0], &pairs, true).expect("a pair").contains("NaN"));
        assert!(draw(ALL[0], &[], false).is_none());
    }

    #[test]
    fn ticks_lie_within_the_axis() {
        assert_eq!(ticks(90.0, 1200.0), [100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(ticks(5.0, 5000.0), [10.0, 100.0, 1000.0]);
        assert_eq!(ticks(320.0, 810.0), [400.0, 500.0, 600.0, 800.0]);
    }
}
