//! The pictures: throughput and CPU per request as bars, latencies at a rate as
//! points on a line, a panel for each scenario.

#[path = "../../../support/svg.rs"]
mod svg;

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::row::{Row, Saturated};
use crate::scenario::{Plot, Scenario};
use crate::summary::{self, Cell, Metric, thousands};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const COLUMNS: usize = 3;
const PANEL_WIDTH: u32 = 420;
const HEADER_HEIGHT: u32 = 50;
const LINE_HEIGHT: i32 = 20;
/// Above the first line of a panel, and below its last.
const PANEL_SPACE: i32 = 34;
/// Where bars begin and end in a panel.
const BARS: Range<i32> = 130..340;

const OWN: RGBColor = RGBColor(16, 78, 139);
const OTHER: RGBColor = RGBColor(168, 180, 192);
const GOOD: &str = "a string takes it";

/// A picture of bars: requests per second, or CPU time.
pub fn bars(rows: &[Row], scenarios: &[Scenario], plot: Plot) -> String {
    let (title, metric, best): (&str, Metric, _) = match plot {
        Plot::Cpu => (
            "CPU time of the server per request, microseconds: less is better",
            summary::CPU_US,
            Best::Least,
        ),
        _ => (
            "Requests per second: more is better. ~ the server was not saturated",
            summary::REQUESTS_PER_S,
            Best::Most,
        ),
    };
    let shown = shown_in(rows, scenarios, plot);
    picture(title, rows, &shown, |panel, scenario, servers| {
        draw_bars(panel, rows, scenario, servers, metric, best);
    })
}

/// The picture of p50, p90, p99 and p99.9 at a rate.
pub fn latencies(rows: &[Row], scenarios: &[Scenario]) -> String {
    let title = "Latency at a fixed rate: p50, p90, p99 and p99.9, log scale; left is better";
    let shown = shown_in(rows, scenarios, Plot::Latency);
    picture(title, rows, &shown, |panel, scenario, servers| {
        draw_latencies(panel, rows, scenario, servers);
    })
}

#[derive(Clone, Copy)]
enum Best {
    Most,
    Least,
}

fn shown_in<'a>(rows: &[Row], scenarios: &'a [Scenario], plot: Plot) -> Vec<&'a Scenario> {
    let is_shown = |scenario: &&Scenario| {
        scenario.plots.contains(&plot) && rows.iter().any(|row| row.scenario == scenario.name)
    };
    scenarios.iter().filter(is_shown).collect()
}

/// Panels in columns, each as high as its servers need.
fn picture(
    title: &str,
    rows: &[Row],
    scenarios: &[&Scenario],
    draw: impl Fn(&Area<'_>, &Scenario, &[String]),
) -> String {
    let all = summary::servers(rows);
    let taking_part = |scenario: &Scenario| -> Vec<String> {
        let has = |server: &&String| !Cell::of(rows, &scenario.name, server).is_empty();
        all.iter().filter(has).cloned().collect()
    };
    let most = scenarios
        .iter()
        .map(|scenario| taking_part(scenario).len())
        .max()
        .unwrap_or(1);
    let panel_height = (most as i32 * LINE_HEIGHT + PANEL_SPACE) as u32;
    let columns = scenarios.len().clamp(1, COLUMNS);
    let lines = scenarios.len().div_ceil(columns).max(1);
    let size = (
        (PANEL_WIDTH * columns as u32).max(2 * PANEL_WIDTH),
        panel_height * lines as u32 + HEADER_HEIGHT,
    );
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).expect(GOOD);
        let (header, panels) = root.split_vertically(HEADER_HEIGHT);
        write(&header, title, (12, 12), 18, &BLACK);
        let panels = panels.split_evenly((lines, columns));
        for (scenario, panel) in scenarios.iter().zip(&panels) {
            write(panel, &scenario.name, (12, 4), 15, &BLACK);
            draw(panel, scenario, &taking_part(scenario));
        }
        root.present().expect(GOOD);
    }
    svg::wrap(&svg)
}

fn draw_bars(
    panel: &Area<'_>,
    rows: &[Row],
    scenario: &Scenario,
    servers: &[String],
    metric: Metric,
    best: Best,
) {
    let value = |server: &String| {
        let spread = Cell::of(rows, &scenario.name, server).spread(metric);
        spread.map(|spread| spread.median)
    };
    let mut lines: Vec<(&String, Option<f64>)> = servers.iter().map(|s| (s, value(s))).collect();
    let key = |value: Option<f64>| match best {
        Best::Most => -value.unwrap_or(-1.0),
        Best::Least => value.unwrap_or(f64::MAX),
    };
    lines.sort_by(|a, b| key(a.1).total_cmp(&key(b.1)));
    let most = lines
        .iter()
        .filter_map(|line| line.1)
        .fold(f64::MIN_POSITIVE, f64::max);
    for (index, (server, value)) in lines.into_iter().enumerate() {
        let y = line_y(index);
        draw_name(panel, server, y);
        let Some(value) = value else {
            let cell = Cell::of(rows, &scenario.name, server);
            write(panel, cell.why_none(), (BARS.start + 6, y + 2), 12, &RED);
            continue;
        };
        let end = BARS.start + (f64::from(BARS.end - BARS.start) * value / most) as i32;
        let corners = [
            (BARS.start, y + 2),
            (end.max(BARS.start + 1), y + LINE_HEIGHT - 4),
        ];
        let bar = Rectangle::new(corners, color_of(server).filled());
        panel.draw(&bar).expect(GOOD);
        let saturated = Cell::of(rows, &scenario.name, server).saturated();
        let is_marked = matches!(best, Best::Most) && saturated != Some(Saturated::Server);
        let mark = if is_marked { " ~" } else { "" };
        let told = match best {
            Best::Most => format!("{}{mark}", thousands(value)),
            Best::Least => format!("{value:.1}"),
        };
        write(panel, &told, (end + 5, y + 2), 12, &BLACK);
    }
}

const PERCENTILES: [Metric; 4] = [
    summary::OPEN_P50_US,
    summary::OPEN_P90_US,
    summary::OPEN_P99_US,
    summary::OPEN_P999_US,
];

fn draw_latencies(panel: &Area<'_>, rows: &[Row], scenario: &Scenario, servers: &[String]) {
    let values = |server: &String| -> Vec<f64> {
        let cell = Cell::of(rows, &scenario.name, server);
        let each = PERCENTILES.iter();
        each.filter_map(|metric| cell.spread(*metric).map(|s| s.median.max(1.0)))
            .collect()
    };
    let mut lines: Vec<(&String, Vec<f64>)> = servers.iter().map(|s| (s, values(s))).collect();
    // By p99.
    let key = |values: &[f64]| values.get(2).copied().unwrap_or(f64::MAX);
    lines.sort_by(|a, b| key(&a.1).total_cmp(&key(&b.1)));
    let all = || lines.iter().flat_map(|line| line.1.iter().copied());
    let least = 10_f64.powf(all().fold(1e9, f64::min).log10().floor());
    let most = 10_f64.powf(all().fold(least * 10.0, f64::max).log10().ceil());
    let x = |us: f64| {
        let share = (us / least).ln() / (most / least).ln();
        BARS.start + 5 + (f64::from(BARS.end - BARS.start) * share) as i32
    };
    draw_decades(panel, least, most, lines.len(), x);
    for (index, (server, values)) in lines.iter().enumerate() {
        let y = line_y(index);
        draw_name(panel, server, y);
        if values.len() < PERCENTILES.len() {
            write(panel, "not measured", (BARS.start + 6, y + 2), 12, &RED);
            continue;
        }
        let (color, middle) = (color_of(server), y + LINE_HEIGHT / 2 - 1);
        let ends = [(x(values[0]), middle), (x(values[3]), middle)];
        let line = PathElement::new(ends, color.stroke_width(2));
        panel.draw(&line).expect(GOOD);
        for (value, radius) in values.iter().zip([4, 3, 5, 3]) {
            let point = Circle::new((x(*value), middle), radius, color.filled());
            panel.draw(&point).expect(GOOD);
        }
        let p99 = format!("p99 {}", duration(values[2]));
        write(
            panel,
            &p99,
            (x(values[3]).max(BARS.start) + 8, y + 2),
            11,
            &BLACK,
        );
    }
}

/// A thin line at each power of ten, with what it is.
fn draw_decades(panel: &Area<'_>, least: f64, most: f64, lines: usize, x: impl Fn(f64) -> i32) {
    let mut decade = least;
    while decade <= most * 1.001 {
        let at = x(decade);
        let ends = [(at, line_y(0)), (at, line_y(lines))];
        let line = PathElement::new(ends, BLACK.mix(0.15));
        panel.draw(&line).expect(GOOD);
        write(panel, &duration(decade), (at - 10, 8), 10, &OTHER);
        decade *= 10.0;
    }
}

fn duration(us: f64) -> String {
    match us {
        1e6.. => format!("{:.1} s", us / 1e6),
        10_000.0.. => format!("{:.0} ms", us / 1e3),
        1_000.0.. => format!("{:.1} ms", us / 1e3),
        _ => format!("{us:.0} us"),
    }
}

fn line_y(index: usize) -> i32 {
    24 + LINE_HEIGHT * index as i32
}

fn draw_name(panel: &Area<'_>, server: &str, y: i32) {
    let color = if is_own(server) { &OWN } else { &BLACK };
    write(panel, server, (12, y + 2), 12, color);
}

fn is_own(server: &str) -> bool {
    server.starts_with("corelane")
}

fn color_of(server: &str) -> RGBColor {
    if is_own(server) { OWN } else { OTHER }
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, color: &RGBColor) {
    let style = ("sans-serif", size).into_font().color(color);
    area.draw_text(text, &style, at).expect(GOOD);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::measured;

    fn scenario() -> Scenario {
        let text = "position = 1\ntitle = 't'\nserves = 'constant'\nfair = 'f'\nunfair = 'u'\n\
                    connections = 64\nscript = 's'\nbaseline = 'raw-epoll'\n\
                    plots = ['throughput', 'cpu', 'latency']\n\
                    [open_loop]\nrate = 1\npath = '/'\n";
        Scenario::parse("constant", text).unwrap()
    }

    #[test]
    fn every_server_has_a_bar_as_long_as_its_value() {
        let rows = [
            measured("constant", "raw-epoll", 0, 100_000.0, 10.0),
            measured("constant", "corelane-epoll", 0, 50_000.0, 20.0),
        ];
        let svg = bars(&rows, &[scenario()], Plot::Throughput);
        let width = |color: &str| -> i64 {
            let flat = svg.replace('\n', " ");
            let rects = flat
                .split("<rect")
                .filter_map(|rest| rest.split("/>").next());
            let rect = rects.into_iter().find(|rect| rect.contains(color)).unwrap();
            let at = rect.find("width=\"").unwrap() + 7;
            rect[at..].split('"').next().unwrap().parse().unwrap()
        };
        let (own, other) = (width("#104E8B"), width("#A8B4C0"));
        assert!((own * 2 - other).abs() <= 2, "{own} {other}");
        assert!(svg.contains("50.0k"), "{svg}");
    }

    #[test]
    fn what_was_not_measured_at_a_rate_is_said() {
        let rows = [measured("constant", "raw-epoll", 0, 100_000.0, 10.0)];
        assert!(latencies(&rows, &[scenario()]).contains("not measured"));
    }

    #[test]
    fn lines_are_broken_between_attributes() {
        let line = format!("<a b=\"{}\" c=\"{}\"/>", "x".repeat(60), "y".repeat(60));
        let wrapped = svg::wrap(&line);
        assert!(
            wrapped
                .lines()
                .all(|line| line.len() <= svg::LINE_BYTES_MAX)
        );
        assert_eq!(wrapped.trim_end().replace('\n', " "), line);
    }
}
