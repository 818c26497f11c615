//! All components in all states, for those who build screens. Development builds only.

use gatehouse_domain::AppError;
use leptos::prelude::*;
use leptos_meta::Title;

use crate::components::{
    Age, Badge, Banner, Breadcrumbs, Button, ButtonKind, Cell, Checkbox, DataTable, EmptyState, ErrorState, HeaderCell, Icon,
    IconButton, IconLink, IconName, Kind, LinkButton, PageHeader, PasswordInput, RadioGroup, Row, SelectInput, Skeleton,
    SortHeader, Sorted, Spinner, TextArea, TextInput, ThemeSwitch, ToastArea,
};

/// `/styleguide`.
#[component]
pub fn StyleGuidePage() -> impl IntoView {
    view! {
        <Title text="Style guide"/>
        <header class="top-bar">
            <span class="brand">
                <Icon name=IconName::Shield/>
                "Style guide"
            </span>
            <span class="spacer"></span>
            <ThemeSwitch/>
        </header>
        <main class="content stack" id="content" tabindex="-1">
            <Breadcrumbs items=vec![("Company".into(), None), ("Style guide".into(), None)]/>
            <PageHeader title="Style guide" subtitle="Every component in every state. Look at it at 390 and 1280 px, light and dark, without JavaScript, and with the keyboard alone.">
                <LinkButton href="/styleguide">"Secondary"</LinkButton>
                <LinkButton href="/styleguide" kind=ButtonKind::Primary>
                    <Icon name=IconName::Plus/>
                    "NEW"
                </LinkButton>
            </PageHeader>
            <Buttons/>
            <Fields/>
            <Messages/>
            <Tables/>
            <States/>
            <Icons/>
        </main>
        <ToastArea/>
    }
    .into_any()
}

#[component]
fn Section(title: &'static str, children: Children) -> impl IntoView {
    view! {
        <section class="panel stack">
            <h2>{title}</h2>
            {children()}
        </section>
    }
    .into_any()
}

#[component]
fn Buttons() -> impl IntoView {
    let kinds = || {
        [
            (ButtonKind::Primary, "Primary"),
            (ButtonKind::Secondary, "Secondary"),
            (ButtonKind::Danger, "Danger"),
            (ButtonKind::Ghost, "Ghost"),
        ]
    };
    let plain =
        kinds().map(|(kind, text)| view! { <Button kind button_type="button">{text}</Button> }).into_iter().collect_view();
    let busy = kinds()
        .map(|(kind, text)| view! { <Button kind button_type="button" busy=true>{text}</Button> })
        .into_iter()
        .collect_view();
    let off = kinds()
        .map(|(kind, text)| view! { <Button kind button_type="button" disabled=true>{text}</Button> })
        .into_iter()
        .collect_view();
    view! {
        <Section title="Buttons">
            <div class="actions">{plain}</div>
            <div class="actions">{busy}</div>
            <div class="actions">{off}</div>
            <div class="actions">
                <IconButton label="Test" icon=IconName::Play/>
                <IconButton label="Make default" icon=IconName::Star disabled=true/>
                <IconButton label="Testing" icon=IconName::Play busy=true/>
                <IconLink href="/styleguide" label="Edit" icon=IconName::Pencil/>
                <IconLink href="/styleguide" label="Delete" icon=IconName::Trash danger=true/>
                <Spinner/>
            </div>
        </Section>
    }
    .into_any()
}

#[component]
fn Fields() -> impl IntoView {
    let text = |value: &str| RwSignal::new(value.to_string());
    let wrong = |why: &str| Signal::stored(Some(why.to_string()));
    view! {
        <Section title="Fields">
            <TextInput name="sg-text" label="Text" value=text("Head office") hint="What to enter, in a sentence."/>
            <TextInput name="sg-empty" label="Empty" value=text("") placeholder="proxy.example.com" optional=true/>
            <TextInput
                name="sg-wrong"
                label="Wrong"
                value=text("http://")
                hint="The hint stays."
                error=wrong("Enter a host name or an IP address, without http:// in front.")
            />
            <PasswordInput name="sg-password" label="Password" value=text("hunter2")/>
            <PasswordInput name="sg-kept" label="Stored password" value=text("") placeholder="Stored. Type to replace it."/>
            <SelectInput
                name="sg-select"
                label="Select"
                value=text("b")
                options=vec![("a".into(), "First".into()), ("b".into(), "Second".into())]
                hint="The second is chosen."
            />
            <TextArea name="sg-area" label="Several lines" value=text("*.example.com\n10.0.0.0/8") code=true error=wrong("'10.0.0.0/99': this is not a network.")/>
            <Checkbox name="sg-on" label="Checked" checked=RwSignal::new(true) hint="What that means."/>
            <Checkbox name="sg-off" label="Not checked, wrong" checked=RwSignal::new(false) error=wrong("This has to be checked.")/>
            <Checkbox name="sg-fixed" label="Can't be changed" checked=RwSignal::new(true) disabled=true/>
            <RadioGroup
                name="sg-radio"
                label="One of a few"
                value=text("basic")
                options=vec![("transparent", "Transparent", "The proxy asks for nothing."), ("basic", "Basic", "User name and password.")]
            />
        </Section>
    }
    .into_any()
}

#[component]
fn Messages() -> impl IntoView {
    let banners = [Kind::Neutral, Kind::Info, Kind::Success, Kind::Warning, Kind::Error]
        .map(|kind| view! { <Banner kind title=format!("A {kind:?} banner")><p>"What it means, and "<a href="/styleguide">"what to do"</a>"."</p></Banner> })
        .into_iter()
        .collect_view();
    let badges = [Kind::Neutral, Kind::Info, Kind::Success, Kind::Warning, Kind::Error]
        .map(|kind| view! { <Badge kind icon=kind.icon()>{format!("{kind:?}")}</Badge> })
        .into_iter()
        .collect_view();
    view! {
        <Section title="Messages">
            {banners}
            <div class="actions">{badges} <Badge>"Plain"</Badge></div>
        </Section>
    }
    .into_any()
}

#[component]
fn Tables() -> impl IntoView {
    let head = ViewFnOnce::from(|| {
        view! {
            <SortHeader label="Name" href="/styleguide?sort=-name" sorted=Sorted::Ascending/>
            <HeaderCell label="Address"/>
            <SortHeader label="Port" href="/styleguide?sort=port" sorted=Sorted::No number=true/>
            <HeaderCell label="Default"/>
            <HeaderCell label="Created"/>
            <HeaderCell label="Actions" hidden=true/>
        }
    });
    let at = gatehouse_domain::Timestamp::from_timestamp(1_790_000_000, 0).unwrap_or_default();
    let rows = [
        ("Head office", "proxy.example.com", true),
        ("A name that is as long as names get in organisations that like long names", "2001:db8::1", false),
    ]
    .map(|(name, host, default)| {
        view! {
            <Row>
                <Cell label="Name" title=true>
                    {name}
                </Cell>
                <Cell label="Address">{host}</Cell>
                <Cell label="Port" number=true>
                    "3128"
                </Cell>
                <Cell label="Default">
                    {if default {
                        view! { <Badge kind=Kind::Success icon=IconName::Check>"Default"</Badge> }.into_any()
                    } else {
                        view! { <span class="subtle">"No"</span> }.into_any()
                    }}
                </Cell>
                <Cell label="Created">
                    <Age at/>
                </Cell>
                <Cell actions=true>
                    <IconButton label=format!("Test {name}") icon=IconName::Play/>
                    <IconLink href="/styleguide" label=format!("Edit {name}") icon=IconName::Pencil/>
                    <IconLink href="/styleguide" label=format!("Delete {name}") icon=IconName::Trash danger=true/>
                </Cell>
            </Row>
        }
    })
    .into_iter()
    .collect_view();
    view! {
        <Section title="Table">
            <DataTable caption="Proxy settings" head>
                {rows}
            </DataTable>
        </Section>
    }
    .into_any()
}

#[component]
fn States() -> impl IntoView {
    view! {
        <Section title="States">
            <EmptyState icon=IconName::Proxy title="No proxy settings yet" text="A proxy setting says through which server requests go out to the internet.">
                <LinkButton href="/styleguide" kind=ButtonKind::Primary>
                    <Icon name=IconName::Plus/>
                    "NEW"
                </LinkButton>
            </EmptyState>
            <ErrorState error=AppError::Unavailable/>
            <ErrorState error=AppError::NotFound/>
            <ErrorState error=AppError::Unauthorized/>
            <Skeleton/>
        </Section>
    }
    .into_any()
}

#[component]
fn Icons() -> impl IntoView {
    let icons = IconName::ALL
        .iter()
        .map(|name| view! { <span class="tag"><Icon name=*name/> {format!("{name:?}")}</span> })
        .collect_view();
    view! {
        <Section title="Icons">
            <div class="actions">{icons}</div>
        </Section>
    }
    .into_any()
}
