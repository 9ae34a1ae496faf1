package lab.parts;

import java.io.IOException;
import java.util.List;
import org.elasticsearch.Build;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.ActionRequest;
import org.elasticsearch.action.ActionRequestValidationException;
import org.elasticsearch.action.ActionResponse;
import org.elasticsearch.action.ActionType;
import org.elasticsearch.action.support.ActionFilters;
import org.elasticsearch.action.support.TransportAction;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.io.stream.StreamOutput;
import org.elasticsearch.common.util.concurrent.EsExecutors;
import org.elasticsearch.injection.guice.Inject;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.action.RestToXContentListener;
import org.elasticsearch.tasks.Task;
import org.elasticsearch.transport.TransportService;
import org.elasticsearch.xcontent.ToXContentObject;
import org.elasticsearch.xcontent.XContentBuilder;

/** Name and version of the server, for whoever may do {@code cluster:monitor/main}. */
final class Greeting {
    static final ActionType<Answer> TYPE = new ActionType<>("cluster:monitor/main");

    private Greeting() {}

    static final class Handler extends BaseRestHandler {
        @Override
        public String getName() {
            return "lab_greeting";
        }

        @Override
        public List<Route> routes() {
            return List.of(new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
        }

        @Override
        protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
            return channel -> client.execute(TYPE, new Question(), new RestToXContentListener<>(channel));
        }
    }

    static final class Question extends ActionRequest {
        @Override
        public ActionRequestValidationException validate() {
            return null;
        }
    }

    static final class Answer extends ActionResponse implements ToXContentObject {
        private final String node;
        private final String cluster;
        private final String identifier;

        Answer(String node, String cluster, String identifier) {
            this.node = node;
            this.cluster = cluster;
            this.identifier = identifier;
        }

        @Override
        public void writeTo(StreamOutput out) {
            TransportAction.localOnly();
        }

        @Override
        public XContentBuilder toXContent(XContentBuilder builder, Params params) throws IOException {
            Build build = Build.current();
            return builder.startObject()
                .field("name", node)
                .field("cluster_name", cluster)
                .field("cluster_uuid", identifier)
                .startObject("version")
                .field("number", build.qualifiedVersion())
                .field("build_flavor", build.flavor())
                .field("build_hash", build.hash())
                .field("build_snapshot", build.isSnapshot())
                .endObject()
                .field("tagline", "You Know, for Search")
                .endObject();
        }
    }

    /** Public with a public constructor, as the server makes it. */
    public static final class Action extends TransportAction<Question, Answer> {
        private final ClusterService clusters;

        @Inject
        public Action(ActionFilters filters, TransportService transport, ClusterService clusters) {
            super(TYPE.name(), filters, transport.getTaskManager(), EsExecutors.DIRECT_EXECUTOR_SERVICE);
            this.clusters = clusters;
        }

        @Override
        protected void doExecute(Task task, Question question, ActionListener<Answer> listener) {
            String identifier = clusters.state().metadata().clusterUUID();
            listener.onResponse(new Answer(clusters.getNodeName(), clusters.getClusterName().value(), identifier));
        }
    }
}
