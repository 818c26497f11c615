//! The parts that all screens are made of: one look, one behaviour, shown together on `/styleguide`.
//!
//! All of them work as plain HTML and take over without a change of markup: no clocks, no random numbers, nothing that
//! differs between the two builds. What a component does beyond HTML it does after hydration, in an `Effect`.

mod age;
mod button;
mod dialog;
mod field;
mod frame;
mod header;
mod icon;
mod messages;
mod pages;
mod states;
mod table;

pub use age::Age;
pub use button::{Button, ButtonKind, IconButton, IconLink, LinkButton, Spinner};
pub use dialog::ConfirmDialog;
pub use field::{
    Checkbox, Field, PasswordInput, RadioGroup, SelectInput, TextArea, TextInput, field_error, focus_first_invalid, initial_value,
};
pub use frame::{Frame, ThemeSwitch};
pub use header::{Breadcrumbs, PageHeader};
pub use icon::{Icon, IconName};
pub(crate) use messages::provide_toasts;
pub use messages::{Banner, Kind, ToastRegion, Toasts, flash_message, use_toasts};
pub use pages::CardPage;
pub use states::{Badge, EmptyState, ErrorState, Skeleton};
pub use table::{Cell, DataTable, HeaderCell, Row, SortHeader, Sorted};
