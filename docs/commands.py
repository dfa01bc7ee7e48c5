"""The directive ``commands``: a section for each command of ``nnjpeg``, from the parser that the command line uses."""

import argparse

from docutils import nodes
from docutils.parsers.rst import Directive

from nnjpeg.cli import parser


def subcommands(whole):
    """The parsers of all commands by name, and their one-line help."""
    (action,) = [action for action in whole._actions if isinstance(action, argparse._SubParsersAction)]
    return action.choices, {choice.dest: choice.help for choice in action._choices_actions}


def heading(action, formatter):
    """How an option is written: its names and its value."""
    value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    if not action.option_strings:
        return formatter._format_args(action, formatter._get_default_metavar_for_positional(action))
    return f"{', '.join(action.option_strings)} {value}".strip()


def option_list(group, formatter):
    """The options of a group as a definition list."""
    found = nodes.definition_list(classes=["options"])
    for action in group._group_actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        term = nodes.term("", "", nodes.literal("", heading(action, formatter)))
        text = nodes.paragraph("", formatter._expand_help(action) if action.help else "")
        found += nodes.definition_list_item("", term, nodes.definition("", text))
    return found


class Commands(Directive):
    """All commands, in the order of ``nnjpeg --help``."""

    def run(self):
        """The sections."""
        parsers, helps = subcommands(parser())
        return [self.section(name, one, helps[name]) for name, one in parsers.items()]

    def section(self, name, one, summary):
        """A command: what it does, its options by group, and what else its help says."""
        formatter = one._get_formatter()
        section = nodes.section(ids=[f"nnjpeg-{name}"], names=[f"nnjpeg {name}"])
        section += nodes.title("", f"nnjpeg {name}")
        section += nodes.paragraph("", f"{summary[0].upper()}{summary[1:]}.")
        section += nodes.paragraph("", one.description)
        for group in one._action_groups:
            options = option_list(group, formatter)
            if len(options):
                title = "Arguments" if group.title == "positional arguments" else group.title.capitalize()
                section += nodes.rubric("", title)
                section += options
        if one.epilog:
            section += [nodes.paragraph("", text) for text in one.epilog.strip().split("\n\n")]
        return section


def setup(app):
    """What Sphinx calls."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
