//! The table of processes, for people: columns as wide as they need to be, and a line of its own
//! for whatever can't be read, because reasons are sentences.

use std::io::{self, Write};

use super::{Linking, Row, Tls};
use crate::visible::Visible;

const TITLES: [&str; COLUMNS] = [
    "PID",
    "SERVICE",
    "LANGUAGE",
    "PORTS",
    "TLS",
    "LINKS",
    "EXECUTABLE",
];
const COLUMNS: usize = 7;

/// Ports that a line names; a proxy may have hundreds.
const PORTS_MAX: usize = 4;

/// Writes rows under titles, or a sentence if there are none.
pub fn write(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no process matches");
    }
    let lines: Vec<[String; COLUMNS]> = std::iter::once(TITLES.map(str::to_owned))
        .chain(rows.iter().map(cells))
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().map(|cells| cells[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    for (index, cells) in lines.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line += &format!("{cell:width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
        let row = index.checked_sub(1).and_then(|index| rows.get(index));
        for uncopied in row.into_iter().flat_map(|row| &row.uncopied) {
            writeln!(out, "{:1$}  {2}", "", widths[0], uncopied.sentence())?;
        }
        for tls in row.into_iter().flat_map(|row| &row.tls) {
            if let Some(reason) = &tls.reason {
                let name = Visible(file_name(&tls.file));
                let reason = Visible(reason);
                writeln!(
                    out,
                    "{:1$}  can't read TLS of {name}: {reason}",
                    "", widths[0]
                )?;
            }
        }
        for linking in row.into_iter().flat_map(|row| &row.links) {
            if let Some(reason) = &linking.reason {
                let of = linking.file.as_deref().map(file_name);
                let of = of.map_or_else(String::new, |name| format!(" ({name})"));
                let (of, reason) = (Visible(of), Visible(reason));
                writeln!(
                    out,
                    "{:1$}  its calls are not linked{of}: {reason}",
                    "", widths[0]
                )?;
            }
        }
    }
    Ok(())
}

fn cells(row: &Row) -> [String; COLUMNS] {
    let service = match &row.service_namespace {
        Some(namespace) => format!("{namespace}/{}", row.service_name),
        None => row.service_name.clone(),
    };
    [
        row.pid.to_string(),
        Visible(service).to_string(),
        row.language.clone().unwrap_or_else(none),
        ports(&row.ports),
        Visible(tls(&row.tls)).to_string(),
        links(&row.links),
        Visible(&row.executable).to_string(),
    ]
}

fn none() -> String {
    "-".to_owned()
}

fn ports(ports: &[u16]) -> String {
    if ports.is_empty() {
        return none();
    }
    let named: Vec<String> = ports.iter().take(PORTS_MAX).map(u16::to_string).collect();
    let more = if ports.len() > PORTS_MAX { ",…" } else { "" };
    named.join(",") + more
}

fn tls(found: &[Tls]) -> String {
    if found.is_empty() {
        return none();
    }
    let mut named: Vec<String> = found
        .iter()
        .map(|tls| match (tls.library, tls.read_by) {
            (Some(library), Some(by)) => format!("{library} ({}) by {by}", file_name(&tls.file)),
            _ => "not readable".to_owned(),
        })
        .collect();
    named.dedup();
    named.join(", ")
}

/// By what calls are linked; of several ways all, as the first that is met in a run is gone.
fn links(found: &[Linking]) -> String {
    let mut named: Vec<_> = found.iter().filter_map(|linking| linking.by).collect();
    named.dedup();
    if named.is_empty() {
        return none();
    }
    named.join(", ")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::Uncopied;

    #[test]
    fn what_cannot_be_read_has_a_line_of_its_own() {
        let row = Row {
            pid: 7,
            executable: "/opt/shop".into(),
            language: Some("java".into()),
            ports: vec![80, 81, 82, 83, 84],
            service_name: "shop".into(),
            service_namespace: Some("web".into()),
            pod: None,
            uncopied: vec![Uncopied::IoUring],
            tls: vec![
                Tls {
                    file: "/lib/libssl.so.3".into(),
                    library: Some("OpenSSL"),
                    read_by: Some("return probes"),
                    reason: None,
                },
                Tls {
                    file: "/jvm/libjvm.so".into(),
                    library: None,
                    read_by: None,
                    reason: Some("why".into()),
                },
            ],
            links: vec![Linking {
                by: None,
                file: Some("/opt/shop".into()),
                reason: Some("too old".into()),
            }],
        };
        let mut out = Vec::new();
        write(&mut out, &[row]).expect("written");
        let text = String::from_utf8(out).expect("text");
        let cells = |line: usize| -> Vec<&str> {
            let line = text.lines().nth(line).expect("a line");
            let cells = line.split("  ").map(str::trim);
            cells.filter(|cell| !cell.is_empty()).collect()
        };
        let tls = "OpenSSL (libssl.so.3) by return probes, not readable";
        assert_eq!(cells(0), TITLES);
        assert_eq!(
            cells(1),
            [
                "7",
                "web/shop",
                "java",
                "80,81,82,83,…",
                tls,
                "-",
                "/opt/shop"
            ]
        );
        assert_eq!(
            text.lines().nth(2),
            Some("     it uses io_uring, and what it sends and receives that way is not read")
        );
        assert_eq!(
            text.lines().nth(3),
            Some("     can't read TLS of libjvm.so: why")
        );
        assert_eq!(
            text.lines().nth(4),
            Some("     its calls are not linked (shop): too old")
        );
        let column = |line: usize, cell: &str| {
            let line = text.lines().nth(line).expect("a line");
            line.find(cell).map(|at| line[..at].chars().count())
        };
        assert_eq!(column(0, "EXECUTABLE"), column(1, "/opt/shop"));
    }
}
