//! The files of one folder. A file appears under its name only once it is complete: readers need not wait
//! for it to settle. Names sort by time, so that name order is the order of writing.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::write::GzEncoder;
use jiff::Timestamp;

use crate::cli::Compress;

/// What the files of a folder are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What their names begin with.
    pub prefix: &'static str,
    /// How their names end, without a dot and before that of a compression.
    pub extension: &'static str,
    /// Their first line, if they have one beside the records.
    pub head: Option<&'static str>,
}

impl Shape {
    /// JSON Lines.
    pub fn json_lines(prefix: &'static str) -> Self {
        Self { prefix, extension: "jsonl", head: None }
    }
}

/// Writes the files of one folder, one after the other.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    shape: Shape,
    compress: Compress,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    hidden: PathBuf,
    name: String,
    encoder: Encoder,
}

#[derive(Debug)]
enum Encoder {
    Plain(BufWriter<File>),
    Gz(GzEncoder<BufWriter<File>>),
    Zst(ZstdFile),
}

impl Encoder {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let to: &mut dyn Write = match self {
            Encoder::Plain(file) => file,
            Encoder::Gz(file) => file,
            Encoder::Zst(file) => &mut file.0,
        };
        to.write_all(line)?;
        to.write_all(b"\n")
    }
}

struct ZstdFile(zstd::Encoder<'static, BufWriter<File>>);

impl std::fmt::Debug for ZstdFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ZstdFile")
    }
}

impl Files {
    /// Writes to `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(folder: &Path, shape: Shape, compress: Compress) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), shape, compress, open: None })
    }

    /// Appends one record to the current file, beginning one named after `time_ms` if there is none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, record: &[u8], time_ms: i64) -> io::Result<()> {
        if self.open.is_none() {
            let open = self.open.insert(self.begin(time_ms)?);
            if let Some(head) = self.shape.head {
                open.encoder.write_line(head.as_bytes())?;
            }
        }
        let open = self.open.as_mut().expect("a file was begun above");
        open.encoder.write_line(record)
    }

    fn begin(&self, time_ms: i64) -> io::Result<OpenFile> {
        let at = Timestamp::from_millisecond(time_ms).map_err(io::Error::other)?;
        let stamp = at.strftime("%Y%m%dT%H%M%S");
        let end = match self.compress {
            Compress::None => "",
            Compress::Gz => ".gz",
            Compress::Zst => ".zst",
        };
        let Shape { prefix, extension, .. } = self.shape;
        let name = format!("{prefix}-{stamp}{:03}Z.{extension}{end}", time_ms.rem_euclid(1_000));
        let hidden = self.folder.join(format!(".{name}.part"));
        let file = BufWriter::new(File::create(&hidden)?);
        let encoder = match self.compress {
            Compress::None => Encoder::Plain(file),
            Compress::Gz => Encoder::Gz(GzEncoder::new(file, flate2::Compression::fast())),
            Compress::Zst => Encoder::Zst(ZstdFile(zstd::Encoder::new(file, 0)?)),
        };
        Ok(OpenFile { hidden, name, encoder })
    }

    /// Completes the current file and lets it appear under its name.
    ///
    /// # Errors
    /// When it cannot be written, or a file of its name is there.
    pub fn rotate(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let mut file = match open.encoder {
            Encoder::Plain(file) => file,
            Encoder::Gz(file) => file.finish()?,
            Encoder::Zst(file) => file.0.finish()?,
        };
        file.flush()?;
        let path = self.folder.join(&open.name);
        if path.exists() {
            let what = format!("{} is there already; choose an empty folder", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        fs::rename(&open.hidden, path)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_only_when_it_is_complete() {
        for (compress, name) in [
            (Compress::None, "chat-20250101T000000007Z.jsonl"),
            (Compress::Gz, "chat-20250101T000000007Z.jsonl.gz"),
            (Compress::Zst, "chat-20250101T000000007Z.jsonl.zst"),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut files =
                Files::new(folder.path(), Shape::json_lines("chat"), compress).expect("the folder is made");
            files.write(b"{}", 1_735_689_600_007).expect("written");
            files.write(b"[]", 1_735_689_600_008).expect("written");
            assert_eq!(names(folder.path()), [format!(".{name}.part")]);
            files.rotate().expect("renamed");
            assert_eq!(names(folder.path()), [name]);
            let file = File::open(folder.path().join(name)).expect("it is there");
            let mut text = String::new();
            match compress {
                Compress::None => (&file).read_to_string(&mut text),
                Compress::Gz => flate2::read::GzDecoder::new(file).read_to_string(&mut text),
                Compress::Zst => zstd::Decoder::new(file).expect("a frame").read_to_string(&mut text),
            }
            .expect("it reads");
            assert_eq!(text, "{}\n[]\n");
            // The same instant again: nothing is overwritten.
            files.write(b"{}", 1_735_689_600_007).expect("written");
            assert!(files.rotate().is_err());
        }
    }
}
