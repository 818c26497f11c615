//! A QR code as SVG, made on the server: what it holds is a secret, and goes nowhere else.

use leptos::prelude::*;
use qrcode::{Color, EcLevel, QrCode};

/// Modules of white around it (ISO/IEC 18004 wants four): without them it is not found on a dark page.
const QUIET: usize = 4;

/// The code for a text; nothing for one that is too long, which the page says in words beside it anyway.
pub fn qr_code(text: &str, label: &'static str) -> Option<AnyView> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let side = code.width() + 2 * QUIET;
    let path = path(&code.to_colors(), code.width());
    let size = format!("0 0 {side} {side}");
    // Its own colours in both themes: scanners want dark on light.
    let svg = view! {
        <svg class="h-auto w-56 max-w-full" viewBox=size role="img" aria-label=label shape-rendering="crispEdges">
            <rect width="100%" height="100%" fill="#fff"></rect>
            <path d=path fill="#000"></path>
        </svg>
    };
    Some(svg.into_any())
}

/// One line for each run of dark modules.
fn path(colors: &[Color], width: usize) -> String {
    let mut path = String::new();
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        while x < row.len() {
            let run = row[x..].iter().take_while(|color| **color == Color::Dark).count();
            if run > 0 {
                path.push_str(&format!("M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET));
            }
            x += run.max(1);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_dark_modules_become_one_shape_each() {
        let (dark, light) = (Color::Dark, Color::Light);
        let colors = [dark, dark, light, light, light, dark, dark, light, dark];
        assert_eq!(path(&colors, 3), "M4 4h2v1h-2zM6 5h1v1h-1zM4 6h1v1h-1zM6 6h1v1h-1z");
    }
}
