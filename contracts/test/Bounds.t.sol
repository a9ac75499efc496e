// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice P1.5, P2.2: every bound from both sides: at it, and one beyond.
contract BoundsTest is Base {
    struct Bound {
        bytes32 field;
        uint256 word; // of JobTerms
        uint256 least;
        uint256 greatest;
    }

    function test_everyTerm_isTakenAtItsBounds_andRefusedOneBeyond() public {
        Bound[17] memory bounds = [
            Bound("lanes", 2, 1, 8),
            Bound("floor", 4, 0, Votes.MAX_SCORE),
            Bound("target", 5, 0, Votes.MAX_SCORE),
            Bound("floorPay", 6, 0, 1e6),
            Bound("operationCap", 9, 1, 1e9 * 1 hours),
            Bound("shardBytes", 10, 1, 1 << 24),
            Bound("weightsBytes", 11, 1, 1 << 30),
            Bound("shards", 14, 16, 64),
            Bound("heldOut", 15, 4, 10),
            Bound("fee", 17, 0.01e18, STAKE / 32),
            Bound("collateral", 19, 100e18, type(uint96).max),
            Bound("bidWindow", 20, 10, 7 days),
            Bound("workWindow", 21, 10, 7 days),
            Bound("releaseWindow", 22, 10, 7 days),
            Bound("commitWindow", 23, 10, 7 days),
            Bound("revealWindow", 24, 10, 7 days),
            Bound("challengeWindow", 25, 10, 7 days)
        ];
        for (uint256 i; i < bounds.length; ++i) {
            Bound memory each = bounds[i];
            _post(_with(each.word, each.least));
            _post(_with(each.word, each.greatest));
            if (each.least != 0) _outOfRange(each, each.least - 1);
            if (each.greatest != type(uint96).max) _outOfRange(each, each.greatest + 1);
        }
    }

    function test_constructor_takesLimitsAtTheirBounds() public {
        Limits memory limits = _limits();
        limits.bid = Window(1, (1 << 24) - 1);
        limits.work = Window(60, 60);
        IMarket made = _deployMarket(address(token), STAKE, STAKE / 32, address(0), limits);
        assertEq(abi.encode(made.limits()), abi.encode(limits));
        assertEq(made.minimumFee(), STAKE / 32);
    }

    function test_accept_bondAtAFifthRoundedUp_isEnough() public {
        JobTerms memory terms = _terms();
        terms.bond = 18e18 + 1; // a fifth of 90e18 + 1, rounded up
        bytes32 id = _post(terms);
        _acceptAt(terms, id, PRICE + 1);
        assertEq(uint8(_state(id)), uint8(State.Running));
        terms.bond = 18e18;
        id = _post(terms);
        vm.expectRevert(abi.encodeWithSelector(BondTooSmall.selector, 18e18, 18e18 + 1));
        this.acceptAt(terms, id, PRICE + 1);
    }

    function test_accept_aQuarterOfAllSeatsMustBeLive() public {
        _moreSeats(76); // 100 seats, of which 25 must be live
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        _leave(25, 100);
        _acceptAt(terms, id, PRICE);
        assertEq(uint8(_state(id)), uint8(State.Running));
        _moreSeats(1); // 101 seats, of which 26 must be live
        vm.prank(market.getSeat(24).cold);
        market.exit(24);
        terms.salt = keccak256("another");
        id = _post(terms);
        vm.expectRevert(abi.encodeWithSelector(TooFewSeats.selector, 25, 26));
        this.acceptAt(terms, id, PRICE);
        _moreSeats(1);
        _acceptAt(terms, id, PRICE);
        assertEq(uint8(_state(id)), uint8(State.Running));
    }

    /// @notice P5.2: an index that is empty, or taken anew after the accept, is never drawn.
    function test_draw_emptyAndRetakenIndices_arePassedOver() public {
        _leave(0, 4);
        skip(market.exitDelay());
        for (uint32 seat; seat < 4; ++seat) {
            market.unstake(seat);
        }
        _moreSeats(10); // takes the four, and six more
        _leave(24, 28);
        skip(market.exitDelay());
        for (uint32 seat = 24; seat < 28; ++seat) {
            market.unstake(seat);
        }
        for (uint256 i; i < 40; ++i) {
            JobTerms memory terms = _terms();
            terms.salt = bytes32(i);
            _assertNoneOf(terms, 24, 28, i == 39); // the last finds them taken anew
        }
    }

    /* ------------------------------------------------------------------------- helpers */

    /// @dev Good terms with one word replaced: static words lie in memory one after the other.
    function _with(uint256 word, uint256 value) private view returns (JobTerms memory terms) {
        terms = _terms();
        terms.collateral = 100e18; // enough for the greatest fee
        terms.salt = keccak256(abi.encode(word, value));
        assembly ("memory-safe") {
            mstore(add(terms, mul(word, 0x20)), value)
        }
    }

    function _outOfRange(Bound memory bound_, uint256 value) private {
        JobTerms memory terms = _with(bound_.word, value);
        uint256 least = bound_.word == 19 ? 20e18 : bound_.least;
        if (bound_.word == 19) terms.collateral = 20e18 - 1;
        vm.prank(requester);
        vm.expectRevert(
            abi.encodeWithSelector(
                TermOutOfRange.selector,
                bound_.field,
                bound_.word == 19 ? terms.collateral : value,
                least,
                bound_.greatest
            )
        );
        market.post(terms);
    }

    function acceptAt(JobTerms memory terms, bytes32 id, uint96 price) external {
        _acceptAt(terms, id, price);
    }

    function _acceptAt(JobTerms memory terms, bytes32 id, uint96 price) private {
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, price);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
    }

    function _assertNoneOf(JobTerms memory terms, uint32 from, uint32 to, bool areRetaken) private {
        bytes32 id = _accept(terms);
        if (areRetaken) _moreSeats(4);
        _submit(id, 0, WORD);
        _pin(id);
        for (uint256 place; place < 3; ++place) {
            uint32 seat = _seat(id, place);
            assertTrue(seat < from || seat >= to);
        }
    }
}
