//! The picture of hit ratios over shards: a panel for each scenario and rate.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Row, SHARDS, svg};

const PANEL_PIXELS: (u32, u32) = (420, 300);
/// The names of all lines fit this.
const LEGEND_PIXELS: u32 = 640;
const HEADER_PIXELS: u32 = 56;

/// A line: its name, colour, width, and which number of a row it shows.
type Line = (&'static str, RGBColor, u32, fn(&Row) -> f64);

/// In the order they are drawn: the directory lies on top of the one cache
/// where they agree, thinner, so that both are seen.
const LINES: [Line; 3] = [
    (
        "one cache for all shards",
        RGBColor(160, 196, 232),
        7,
        |row| row.single,
    ),
    ("corelane's directory", RGBColor(16, 78, 139), 2, |row| {
        row.directory
    }),
    ("a cache for each shard", RGBColor(200, 62, 30), 2, |row| {
        row.private
    }),
];

/// The picture, as SVG.
pub(crate) fn hit_ratios(rows: &[Row], scenarios: &[&str], rates: &[f64]) -> String {
    let size = (
        (PANEL_PIXELS.0 * rates.len() as u32).max(LEGEND_PIXELS),
        PANEL_PIXELS.1 * scenarios.len() as u32 + HEADER_PIXELS,
    );
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).expect("a string takes it");
        let (header, panels) = root.split_vertically(HEADER_PIXELS);
        draw_header(&header);
        let panels = panels.split_evenly((scenarios.len(), rates.len()));
        let each = scenarios
            .iter()
            .flat_map(|s| rates.iter().map(move |r| (s, r)));
        for ((scenario, rate), panel) in each.zip(&panels) {
            let own = rows
                .iter()
                .filter(|row| row.scenario == *scenario && row.rate == *rate);
            let own: Vec<&Row> = own.collect();
            let title = format!("{scenario}; {} requests/s", short(*rate));
            draw_panel(panel, &title, percent_max(rows, scenario), &own);
        }
        root.present().expect("a string takes it");
    }
    svg::wrap(&svg)
}

/// What the picture shows, and which line is which.
fn draw_header(area: &DrawingArea<SVGBackend<'_>, Shift>) {
    let style = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    let title = "Hit ratio of reads of an id, by the number of shards";
    area.draw_text(title, &style(18), (12, 8))
        .expect("a string takes it");
    for (index, (name, color, width, _)) in LINES.iter().enumerate() {
        let x = 12 + 200 * index as i32;
        let stroke = color.stroke_width(*width);
        let line = PathElement::new([(x, 42), (x + 26, 42)], stroke);
        area.draw(&line).expect("a string takes it");
        area.draw_text(name, &style(13), (x + 34, 35))
            .expect("a string takes it");
    }
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    percent_max: f64,
    rows: &[&Row],
) {
    let last = SHARDS.len() as f64 - 1.0;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 14))
        .margin(10)
        .x_label_area_size(38)
        .y_label_area_size(48)
        .build_cartesian_2d(-0.15..last + 0.15, 0.0..percent_max)
        .expect("a range");
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(SHARDS.len())
        .x_label_formatter(&|at| match SHARDS.get(at.round() as usize) {
            Some(shards) if (at - at.round()).abs() < 1e-9 => shards.to_string(),
            _ => String::new(),
        })
        .y_labels(5)
        .y_label_formatter(&|percent| format!("{percent:.0}"))
        .x_desc("shards")
        .y_desc("hit ratio, %")
        .label_style(("sans-serif", 12))
        .axis_desc_style(("sans-serif", 13))
        .draw()
        .expect("a string takes it");
    for (_, color, width, value) in LINES {
        let points = rows.iter().enumerate();
        let points = points.map(|(index, row)| (index as f64, value(row) * 100.0));
        let line = LineSeries::new(points, color.stroke_width(width)).point_size(points_of(width));
        chart.draw_series(line).expect("a string takes it");
    }
}

/// The wide line has none: its circles would hide the others.
fn points_of(width: u32) -> u32 {
    if width > 3 { 0 } else { width + 1 }
}

/// `200 k`, `1 M`.
fn short(rate: f64) -> String {
    match rate {
        1e6.. => format!("{} M", rate / 1e6),
        _ => format!("{} k", rate / 1e3),
    }
}

/// The scale of a scenario's panels: up to the next 20 %.
fn percent_max(rows: &[Row], scenario: &str) -> f64 {
    let own = rows.iter().filter(|row| row.scenario == scenario);
    let values = own.map(|row| row.single.max(row.directory).max(row.private));
    (values.fold(0.0, f64::max) * 5.0).ceil() * 20.0
}
