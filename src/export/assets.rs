//! What the page for people needs beside itself: style, script and chart library, stored packed and sent as they are stored.
//!
//! Their sources are in `html/`; `page.js.gz` and the others are made from them by `WATCHD_BLESS=1 cargo test --lib assets`, and a test
//! keeps both the same. The page asks for them with their tag, so that a browser keeps them until they change.

/// One file that never changes while we run.
pub struct Asset {
    pub path: &'static str,
    pub kind: &'static str,
    /// As gzip has it.
    pub packed: &'static [u8],
}

/// All there are.
pub static ASSETS: [Asset; 4] = [
    Asset { path: "/page.css", kind: "text/css; charset=utf-8", packed: include_bytes!("html/page.css.gz") },
    Asset { path: "/page.js", kind: "text/javascript; charset=utf-8", packed: include_bytes!("html/page.js.gz") },
    Asset {
        path: "/uplot.js",
        kind: "text/javascript; charset=utf-8",
        packed: include_bytes!("html/vendor/uPlot.iife.min.js.gz"),
    },
    Asset { path: "/icon.svg", kind: "image/svg+xml", packed: include_bytes!("html/icon.svg.gz") },
];

impl Asset {
    /// What tells it from the same file of another build: its own CRC32 and length, which gzip has written at its end.
    pub fn tag(&self) -> u64 {
        let tail = self.packed.last_chunk::<8>().copied().unwrap_or_default();
        u64::from_le_bytes(tail)
    }
}

/// What stands behind the path, so that another build has another address.
pub fn version(asset: &Asset) -> String {
    format!("v={:x}", asset.tag())
}

/// The address of an asset as the page has it.
pub fn address(path: &str) -> String {
    ASSETS.iter().find(|asset| asset.path == path).map(|asset| format!("{path}?{}", version(asset))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SOURCES: [&str; 4] = ["page.css", "page.js", "vendor/uPlot.iife.min.js", "icon.svg"];

    fn pack(text: &[u8]) -> Vec<u8> {
        let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff];
        file.extend(miniz_oxide::deflate::compress_to_vec(text, 10));
        file.extend(crc32fast::hash(text).to_le_bytes());
        file.extend(u32::try_from(text.len()).expect("it is short").to_le_bytes());
        file
    }

    #[test]
    fn what_is_stored_is_what_its_source_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/export/html");
        for (asset, source) in ASSETS.iter().zip(SOURCES) {
            let text = std::fs::read(folder.join(source)).expect("there is a source");
            if std::env::var_os("WATCHD_BLESS").is_some() {
                std::fs::write(folder.join(format!("{source}.gz")), pack(&text)).expect("it can be written");
                continue;
            }
            let packed = asset.packed;
            let inside = miniz_oxide::inflate::decompress_to_vec(&packed[10..packed.len() - 8]).expect("it is deflate");
            assert!(inside == text, "{source} was changed: WATCHD_BLESS=1 cargo test --lib assets");
            assert_eq!(asset.tag(), u64::from(crc32fast::hash(&text)) | (text.len() as u64) << 32, "{source}");
        }
    }

    #[test]
    fn all_together_are_small_and_ask_nobody() {
        let packed: usize = ASSETS.iter().map(|asset| asset.packed.len()).sum();
        assert!(packed < 45 << 10, "{packed}");
        for source in ["page.css", "page.js", "icon.svg"] {
            let text =
                std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/export/html").join(source));
            let text = text.expect("it is text").replace("http://www.w3.org/", "");
            for outside in ["http:", "https:", "@import", "innerHTML", "eval(", "url("] {
                assert!(!text.contains(outside), "{source}: {outside}");
            }
        }
    }
}
