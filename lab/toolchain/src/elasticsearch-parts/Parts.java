package lab.parts;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.cjk.CJKBigramFilter;
import org.apache.lucene.analysis.cjk.CJKWidthFilter;
import org.elasticsearch.action.ActionRequest;
import org.elasticsearch.action.ActionResponse;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.IndexScopedSettings;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.settings.SettingsFilter;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.index.analysis.AbstractTokenFilterFactory;
import org.elasticsearch.index.analysis.NormalizingTokenFilterFactory;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.RestController;
import org.elasticsearch.rest.RestHandler;

/**
 * What the platform needs of two modules of Elasticsearch that are not on Maven Central, under the same names.
 *
 * <p>Of analysis-common, the two text filters of the index of logs: Lucene's own, which every Elasticsearch has in its
 * lib folder. Of rest-root, the answer at {@code /}, by which Jaeger knows the server. For tests alone.
 */
public final class Parts extends Plugin implements ActionPlugin, AnalysisPlugin {
    private static final int EVERY_SCRIPT =
        CJKBigramFilter.HAN | CJKBigramFilter.HIRAGANA | CJKBigramFilter.KATAKANA | CJKBigramFilter.HANGUL;

    @Override
    public Map<String, AnalysisProvider<TokenFilterFactory>> getTokenFilters() {
        return Map.of(
            "cjk_width", (index, environment, name, settings) -> new Width(name, settings),
            "cjk_bigram", (index, environment, name, settings) -> new Bigram(name, settings)
        );
    }

    @Override
    public Collection<ActionHandler<? extends ActionRequest, ? extends ActionResponse>> getActions() {
        return List.of(new ActionHandler<>(Greeting.TYPE, Greeting.Action.class));
    }

    @Override
    public Collection<RestHandler> getRestHandlers(
        Settings settings,
        NamedWriteableRegistry named,
        RestController controller,
        ClusterSettings cluster,
        IndexScopedSettings indices,
        SettingsFilter filter,
        IndexNameExpressionResolver resolver,
        Supplier<DiscoveryNodes> nodes,
        Predicate<NodeFeature> supports
    ) {
        return List.of(new Greeting.Handler());
    }

    /** Wide Latin letters and narrow kana in their usual forms. */
    private static final class Width extends AbstractTokenFilterFactory implements NormalizingTokenFilterFactory {
        Width(String name, Settings settings) {
            super(name, settings);
        }

        @Override
        public TokenStream create(TokenStream input) {
            return new CJKWidthFilter(input);
        }
    }

    /** Pairs of neighbouring characters of the scripts that are written without spaces. */
    private static final class Bigram extends AbstractTokenFilterFactory {
        private final boolean unigrams;

        Bigram(String name, Settings settings) {
            super(name, settings);
            unigrams = settings.getAsBoolean("output_unigrams", false);
        }

        @Override
        public TokenStream create(TokenStream input) {
            return new CJKBigramFilter(input, EVERY_SCRIPT, unigrams);
        }
    }
}
