"""The strings that stand under the members of an enum or the fields of a record.

Python keeps none of them at run time, so they are read from the source.
"""

from __future__ import annotations

import ast
import inspect
import textwrap


def attribute_docs(owner: type) -> dict[str, str]:
    """The docstrings of a class's attributes, by name; those without one are left out."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    if not isinstance(tree, ast.ClassDef):
        raise TypeError(f"{owner!r} is no class")
    found: dict[str, str] = {}
    for statement, after in zip(tree.body, tree.body[1:], strict=False):
        name = _assigned_name(statement)
        if name and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[name] = inspect.cleandoc(str(after.value.value))
    return found


def _assigned_name(statement: ast.stmt) -> str | None:
    """The name that a statement assigns to, if it is one alone."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return None
