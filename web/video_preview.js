// Tells the page that these nodes show a video: the first Nodes 2.0 takes every node without a VIDEO input for one
// that shows pictures.
import { app } from "../../scripts/app.js"

const VIDEO_NODES = ["SadTalkerVideoCombine", "SadTalkerRenderVideo"]

app.registerExtension({
    name: "sadtalkernodes.videoPreview",
    nodeCreated(node) {
        if (VIDEO_NODES.includes(node.comfyClass)) node.previewMediaType = "video"
    },
})
