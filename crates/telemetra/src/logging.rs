//! Logs: `tracing` to stderr as text or JSON lines, filtered by LOG_LEVEL.
//!
//! Text from outside cannot steer the terminal that shows a log, nor fake a line: control characters are
//! escaped on the way out. Nothing is logged per record.

use std::io::{self, Write};

use tracing_subscriber::{
    Layer, filter::Targets, fmt, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::{out::is_steering, settings::LogSettings, terminal::Screen};

/// Starts logging as `settings` say; called once.
///
/// # Errors
/// When logging was started before.
pub fn start(settings: &LogSettings, screen: Screen) -> anyhow::Result<()> {
    let filter: Targets = settings.filter.parse()?;
    let lines = Lines(screen);
    let layer = if settings.json {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(lines)
            .boxed()
    } else {
        fmt::layer().with_ansi(false).with_target(false).with_writer(lines).boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    Ok(())
}

#[derive(Clone)]
struct Lines(Screen);

/// One event's text; written as a whole when it is dropped.
struct Line {
    screen: Screen,
    text: Vec<u8>,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { screen: self.0.clone(), text: Vec::new() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A log that nobody can read any more must not stop the job.
        let _ = self.screen.write_lines(escaped(&String::from_utf8_lossy(&self.text)).as_bytes());
    }
}

/// One event as one line: everything that steers is escaped but the line end itself.
fn escaped(event: &str) -> String {
    let body = event.trim_end_matches('\n');
    let mut line = String::with_capacity(event.len());
    for c in body.chars() {
        if is_steering(c) { line.extend(c.escape_unicode()) } else { line.push(c) }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_one_line() {
        assert_eq!(escaped("a\u{1b}[31m\r\nfake line\n"), "a\\u{1b}[31m\\u{d}\\u{a}fake line\n");
        assert_eq!(escaped("plain ü\n"), "plain ü\n");
    }
}
