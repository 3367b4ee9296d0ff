//! What a manifest says of a tool, as it is registered.

use std::time::Duration;

use taskferry_contract::{
    Backoff, InvalidId, QueueName, Rate, ToolDefinition, ToolName, TtlBounds,
};

use crate::manifest::ExecTool;

/// What a manifest says of a tool, as it is registered.
pub(crate) fn definition(tool: &ExecTool) -> Result<ToolDefinition, InvalidId> {
    let policy = &tool.policy;
    let name: ToolName = tool.name.parse()?;
    let queue: QueueName = policy.queue.parse()?;
    Ok(ToolDefinition {
        title: tool.title.clone(),
        immediate_response: tool.immediate_response.clone(),
        description: Some(tool.description.clone()),
        output_schema: tool.output_schema.clone(),
        annotations: tool.annotations.clone(),
        icons: tool.icons.clone(),
        required_capabilities: tool.required_capabilities.clone(),
        task_support: policy.task_support,
        rank: policy.rank,
        queue,
        timeout_ms: millis(policy.timeout),
        ttl: TtlBounds {
            default_ms: millis(policy.ttl),
            min_ms: millis(policy.ttl_min),
            max_ms: millis(policy.ttl_max),
        },
        poll_interval_ms: millis(policy.poll_interval),
        poll_interval_max_ms: millis(policy.poll_interval_max),
        share_identical: policy.share,
        attempts: policy.attempts,
        crash_limit: policy.crash_limit,
        backoff: Backoff {
            initial_ms: millis(policy.backoff_initial),
            max_ms: millis(policy.backoff_max),
        },
        keep_ms: millis(policy.keep),
        ask_first: tool.ask_first.clone(),
        concurrency: policy.concurrency,
        rate: policy.rate.map(|rate| Rate {
            excess: policy.rate_excess,
            ..rate
        }),
        scopes: policy.scopes.clone(),
        task_scopes: policy.task_scopes.clone(),
        ..ToolDefinition::new(name, tool.input_schema.clone())
    })
}

/// A manifest's durations are at most a year.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use taskferry_contract::{RateExcess, TaskSupport};

    #[test]
    fn a_tool_is_registered_as_its_manifest_says() {
        let text = r#"
            [[tool]]
            name = "report"
            title = "Report"
            description = "Makes it"
            command = ["true"]
            queue = "slow"
            rank = -3
            task_support = "required"
            timeout = "5m"
            ttl = "2h"
            ttl_min = "1m"
            ttl_max = "3h"
            poll_interval = "500ms"
            poll_interval_max = "4s"
            share = true
            immediate_response = "It is being made"
            attempts = 5
            crash_limit = 2
            backoff_initial = "2s"
            backoff_max = "9s"
            concurrency = 7
            scopes = ["report:make"]
            task_scopes = ["report:read"]
            input_schema = '{ "type":"object" }'
            annotations = { readOnlyHint = true }
            required_capabilities = { sampling = {} }
        "#;
        let manifest = Manifest::parse(text, std::path::Path::new("/")).unwrap();
        let tool = definition(&manifest.tools[0]).unwrap();
        assert_eq!(
            (tool.name.as_str(), tool.queue.as_str()),
            ("report", "slow")
        );
        assert_eq!(tool.title.as_deref(), Some("Report"));
        assert_eq!(tool.description.as_deref(), Some("Makes it"));
        assert_eq!(tool.input_schema.get(), r#"{ "type":"object" }"#);
        assert_eq!(tool.annotations.unwrap().get(), r#"{"readOnlyHint":true}"#);
        assert_eq!(
            tool.required_capabilities.unwrap().get(),
            r#"{"sampling":{}}"#
        );
        assert_eq!((tool.rank, tool.task_support), (-3, TaskSupport::Required));
        assert_eq!((tool.timeout_ms, tool.poll_interval_ms), (300_000, 500));
        assert_eq!(tool.poll_interval_max_ms, 4_000);
        assert!(tool.share_identical);
        assert_eq!(tool.immediate_response.as_deref(), Some("It is being made"));
        let ttl = tool.ttl;
        assert_eq!(
            (ttl.default_ms, ttl.min_ms, ttl.max_ms),
            (7_200_000, 60_000, 10_800_000)
        );
        assert_eq!(
            (tool.attempts, tool.crash_limit, tool.concurrency),
            (5, 2, Some(7))
        );
        assert_eq!(
            (tool.backoff.initial_ms, tool.backoff.max_ms),
            (2_000, 9_000)
        );
    }

    #[test]
    fn a_rate_is_registered_with_what_becomes_of_calls_beyond_it() {
        for (lines, excess) in [
            ("", RateExcess::Wait),
            ("rate_excess = 'wait'", RateExcess::Wait),
            ("rate_excess = 'refuse'", RateExcess::Refuse),
        ] {
            // What becomes of them may stand in the defaults, the rate in the tool.
            let text = format!(
                "[defaults]\n{lines}\n[[tool]]\nname = 'a'\ndescription = 'b'\ncommand = ['true']\nrate = '9/90s'"
            );
            let manifest = Manifest::parse(&text, std::path::Path::new("/")).unwrap();
            let rate = Rate {
                excess,
                ..Rate::new(9, Duration::from_secs(90))
            };
            assert_eq!(definition(&manifest.tools[0]).unwrap().rate, Some(rate));
        }
    }

    #[test]
    fn what_a_manifest_leaves_out_is_what_a_definition_leaves_out() {
        let text = "[[tool]]\nname = 'a'\ndescription = 'b'\ncommand = ['true']";
        let manifest = Manifest::parse(text, std::path::Path::new("/")).unwrap();
        let mut tool = definition(&manifest.tools[0]).unwrap();
        tool.description = None;
        let plain = ToolDefinition::new(tool.name.clone(), tool.input_schema.clone());
        let json = |tool: &ToolDefinition| serde_json::to_value(tool).unwrap();
        assert_eq!(json(&tool), json(&plain));
    }
}
