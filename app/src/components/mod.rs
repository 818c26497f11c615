//! The parts that all screens are made of: one look, one behaviour, shown together on `/styleguide`.
//!
//! All of them work as plain HTML. Those that islands are made of take over without a change of markup: no clocks, no random
//! numbers, nothing that differs between the two builds. What such a component does beyond HTML it does in an `Effect`. The
//! others are rendered on the server alone.

mod button;
mod dialog;
mod field;
mod icon;
mod messages;

#[cfg(feature = "ssr")]
mod age;
#[cfg(feature = "ssr")]
mod copy;
#[cfg(feature = "ssr")]
mod frame;
#[cfg(feature = "ssr")]
mod header;
#[cfg(feature = "ssr")]
mod kept;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod states;
#[cfg(feature = "ssr")]
mod table;

#[cfg(feature = "ssr")]
pub use age::{Age, Day};
pub use button::{Button, ButtonKind, IconButton, IconLink, LinkButton, Spinner};
#[cfg(feature = "ssr")]
pub use copy::CopyRow;
pub use dialog::ConfirmDialog;
pub use field::{
    Checkbox, Field, PasswordInput, RadioGroup, SelectInput, TextArea, TextInput, field_error, focus_first_invalid, initial_value,
};
#[cfg(feature = "ssr")]
pub(crate) use frame::refused_page;
#[cfg(feature = "ssr")]
pub use frame::{Frame, ThemeSwitch};
#[cfg(feature = "ssr")]
pub use header::{Breadcrumbs, PageHeader};
#[cfg(feature = "ssr")]
pub use icon::IconSprite;
pub use icon::{Icon, IconName};
#[cfg(feature = "ssr")]
pub use kept::push_kept;
#[cfg(feature = "ssr")]
pub use messages::ToastArea;
pub use messages::{Banner, Kind, ToastRegion, flash_message, toast_error, toast_success};
#[cfg(feature = "ssr")]
pub use pages::CardPage;
#[cfg(feature = "ssr")]
pub use states::{Badge, EmptyState, ErrorState, HealthBadge, Skeleton};
#[cfg(feature = "ssr")]
pub use table::{Cell, DataTable, HeaderCell, Row, SortHeader, Sorted};
