//! The figures, beside what they should be.

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// It is shown only.
    None,
}

/// One figure.
pub struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    target: Target,
}

impl Row {
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str, target: Target) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            target,
        }
    }

    fn verdict(&self) -> &'static str {
        let reached = match self.target {
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
            Target::None => return "",
        };
        if reached { "ok" } else { "MISSED" }
    }
}

/// Figures in the order of their measuring.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "| figure | measured | target | |\n|---|---|---|---|")?;
        for row in &self.rows {
            let unit = row.unit;
            let target = match row.target {
                Target::AtLeast(least) => format!("≥ {} {unit}", figure(least)),
                Target::AtMost(most) => format!("≤ {} {unit}", figure(most)),
                Target::None => String::new(),
            };
            let measured = format!("{} {unit}", figure(row.value));
            let (what, verdict) = (&row.what, row.verdict());
            writeln!(
                out,
                "| {what} | {} | {} | {verdict} |",
                measured.trim(),
                target.trim()
            )?;
        }
        Ok(())
    }
}

/// Three digits are enough to compare with; large numbers are whole.
fn figure(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_called_so() {
        let mut table = Table::default();
        table.extend([
            Row::new("kept", 86.94, "%", Target::AtLeast(87.0)),
            Row::new("lost", 0.0, "", Target::AtMost(0.0)),
            Row::new("shown", 12.25, "µs", Target::None),
        ]);
        let text = table.to_string();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| kept | 86.9 % | ≥ 87 % | MISSED |",
                "| lost | 0 | ≤ 0 | ok |",
                "| shown | 12.2 µs |  |  |"
            ]
        );
    }
}
