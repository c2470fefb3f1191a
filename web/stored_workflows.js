// A workflow that was saved before a node had an input stores no value for it, and the page would fill in what a new
// node gets. Here it gets what the node did then, so that a shared file goes on making the video that it made.
import { app } from "../../scripts/app.js"

// node -> input -> what it did before
const BEFORE = { SadTalker3DMMExtract: { render_size: 256 } }

app.registerExtension({
    name: "sadtalkernodes.storedWorkflows",
    nodeCreated(node) {
        const before = BEFORE[node.comfyClass]
        if (!before) return
        const onConfigure = node.onConfigure
        node.onConfigure = function (stored) {
            const values = stored.widgets_values
            const widgets = node.widgets.filter(widget => widget.serialize !== false)
            for (const [name, value] of Object.entries(before)) {
                const place = widgets.findIndex(widget => widget.name === name)
                const isStored = Array.isArray(values) ? place < values.length : name in (values ?? {})
                if (values && place >= 0 && !isStored) widgets[place].value = value
            }
            return onConfigure?.call(this, stored)
        }
    },
})
